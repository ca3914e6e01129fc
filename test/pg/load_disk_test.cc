// A load onto a disk that is truly full.

#include <iostream>

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <fmt/format.h>

#include "load/load.h"
#include "load/read/csv_reader.h"
#include "pg/embedded_fixture.h"
#include "pg/identifier.h"
#include "schema/migrator.h"

namespace weir::embedded {
namespace {

class LoadDisk : public EmbeddedServerTest {
 protected:
  /// Larger than the disk.
  static std::unique_ptr<load::RecordReader> large_csv() {
    constexpr int kRows = 24'000;
    std::string text = "id,v\n";
    const std::string filler(1000, 'x');
    for (int n = 2; n < kRows; ++n) text += fmt::format("{},{}\n", n, filler);
    std::vector<load::Input> one;
    one.push_back(load::memory_input("large.csv", std::move(text)));
    return std::make_unique<load::CsvReader>(std::move(one), load::CsvChoice{.header = true},
                                             std::stop_token());
  }

  /// A database whose new tables go onto the disk, and a table that is elsewhere.
  static void prepare(const std::string& url, const fs::path& disk) {
    pg::Session session = pg::Connector(pg::Conninfo::parse(url)).connect(pg::Role::api, "test");
    schema::migrate(session);
    session.execute("CREATE TABLE public.t (id int PRIMARY KEY, v text)");
    session.execute("INSERT INTO public.t VALUES (1, 'one')");
    session.execute("CREATE TABLESPACE small LOCATION " + pg::quote_literal(disk.string()));
    const auto name = session.execute("SELECT current_database()")[0].get<std::string>(0);
    session.execute("ALTER DATABASE " + pg::quote_identifier(name) + " SET default_tablespace = small");
  }

  static std::uint64_t free_bytes(const fs::path& disk) {
    struct statvfs status {};
    if (::statvfs(disk.c_str(), &status) != 0) return 0;
    return std::uint64_t{status.f_bavail} * std::uint64_t{status.f_frsize};
  }

  /// What is wrong, as the exit status of the process that has the disk; 0: nothing.
  static int load_onto(const std::string& url, const fs::path& disk) {
    prepare(url, disk);
    const pg::Connector::Options as_user{.users_search_path = true};
    const auto connector = std::make_shared<const pg::Connector>(pg::Conninfo::parse(url), as_user);
    const std::uint64_t before = free_bytes(disk);
    load::LoadOptions upsert{.source = "large.csv", .target = "t"};
    upsert.spec.mode = load::Mode::upsert;
    upsert.spec.key = {"id"};
    upsert.fingerprint = "a file";
    const Error error = error_of([&] { load::Load(connector, large_csv(), upsert).run({}); });
    std::cerr << error.what() << "\n" << error.remedy() << "\n";
    if (error.exit_code() != ExitCode::failed || error.sqlstate() != "53100") return 1;
    if (!has(error.what(), "No space left on device") || !has(error.what(), "; the stage weir_stage.") ||
        !has(error.what(), "MiB there"))
      return 2;
    if (!has(error.remedy(), "t is as it was")) return 3;
    pg::Session session = connector->connect(pg::Role::api, "test");
    const auto left = session.execute(
        "SELECT (SELECT string_agg(id || v, ' ') FROM t), (SELECT count(*)::int8 FROM pg_class WHERE "
        "relnamespace "
        "= 'weir_stage'::regnamespace AND relkind = 'r')");
    if (left[0].get<std::string>(0) != "1one" || left[0].get<std::int64_t>(1) != 0) return 4;
    constexpr std::uint64_t kSlack = std::uint64_t{1} << 20U;
    return free_bytes(disk) + kSlack >= before ? 0 : 5;
  }
};

TEST_F(LoadDisk, ALoadThatFillsItEndsAndGivesItsRoomBack) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to mount a small disk";
  make_data();
  const fs::path disk = base_ / "disk";
  fs::create_directory(disk);
  // In a namespace of its own, so that no mount can be left behind.
  const pid_t small = in_process([&] {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=12m,mode=0700") != 0) {
      return 77;
    }
    const ServerStatus status = start();
    struct stat data {};
    if (::stat(status.data.c_str(), &data) != 0 || ::chown(disk.c_str(), data.st_uid, data.st_gid) != 0)
      return 78;
    const int wrong = load_onto(status.url, disk);
    server().stop(soon(), {});
    return wrong;
  });
  const int status = status_of(small);
  if (status == 77) GTEST_SKIP() << "this machine does not let us mount a small disk";
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace weir::embedded
