// weir doctor on servers of several kinds.
#include <algorithm>
#include <cstdlib>
#include <fstream>

#include <unistd.h>

#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "embedded/binaries.h"
#include "embedded/private_server.h"
#include "exec/child.h"
#include "exec/file_identity.h"
#include "fake_server.h"
#include "support/database.h"
#include "support/pgbouncer.h"
#include "support/waiting.h"
#include "weir_program.h"

namespace weir::test {
namespace {

using ::testing::HasSubstr;

struct Report {
  int status = 0;
  nlohmann::json document;

  /// The finding of one check, the worst if it has several.
  [[nodiscard]] nlohmann::json find(const std::string& check) const {
    nlohmann::json found;
    for (const auto& each : document.at("checks")) {
      if (each.at("check") == check && (found.is_null() || each.at("verdict") == "fail")) found = each;
    }
    return found;
  }
  [[nodiscard]] std::string verdict(const std::string& check) const { return find(check).at("verdict"); }
};

Report examine(const std::string& url, std::vector<std::string> more = {}) {
  std::vector<std::string> words{"doctor", "--json", "--database-url", url};
  words.insert(words.end(), more.begin(), more.end());
  const WeirResult result = run_weir(words);
  return {result.status, nlohmann::json::parse(result.out)};
}

class CliDoctor : public PgTest {};

TEST_F(CliDoctor, NamesWhatIsWrongWithTheTestServer) {
  const Report report = examine(tcp_url());
  EXPECT_EQ(report.status, 1);
  EXPECT_EQ(report.document.at("ok"), false);
  for (const char* const fine : {"connection", "version", "writable", "pooler", "connections", "privileges",
                                 "clock", "encoding", "snapshots"})
    EXPECT_EQ(report.verdict(fine), "ok") << report.find(fine);
  EXPECT_EQ(report.verdict("settings"), "fail");  // fsync = off
  EXPECT_THAT(report.find("settings").at("message"), HasSubstr("fsync = off"));
  EXPECT_EQ(report.verdict("schema"), "fail");
  EXPECT_THAT(report.find("schema").at("remedy"), HasSubstr("weir db migrate"));
}

TEST_F(CliDoctor, TextEndsWithASummary) {
  const WeirResult result = run_weir({"doctor", "--database-url", url()});
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.out, HasSubstr("fail  schema       this database has no schema weir yet\n"
                                    "                   Run `weir db migrate`"));
  EXPECT_THAT(result.out, HasSubstr(" failed\n"));
}

TEST_F(CliDoctor, CountsTheConnectionsOfAllProcesses) {
  const Report report = examine(url(), {"--processes", "8"});
  EXPECT_EQ(report.verdict("connections"), "fail");
  EXPECT_THAT(report.find("connections").at("message"), HasSubstr("31 sessions x 8 processes = 248"));
  EXPECT_THAT(report.find("connections").at("message"), HasSubstr("max_connections 100 - reserved 3 = 97"));
}

TEST_F(CliDoctor, FindsAPoolerInTransactionMode) {
  const PgBouncer pooler(PgBouncer::Mode::transaction);
  const Report report = examine(pooler.conninfo(database()).url());
  EXPECT_EQ(report.verdict("pooler"), "warn") << report.document;
  EXPECT_THAT(report.find("pooler").at("message"), HasSubstr("leases and polling"));
  EXPECT_EQ(report.verdict("version"), "ok");
  // This one refuses a search_path of our own, too.
  EXPECT_THAT(report.document.dump(), HasSubstr("the pooler in between refuses Weir's search_path"));
  EXPECT_THAT(examine(url()).document.dump(), ::testing::Not(HasSubstr("search_path")));
}

TEST(CliDoctorUnreached, IsAFindingAndExitCode4) {
  const Report report = examine("postgresql://eve:sesame@127.0.0.1:1/db");
  EXPECT_EQ(report.status, 4);
  EXPECT_EQ(report.document.at("checks").size(), 1U);
  EXPECT_EQ(report.verdict("connection"), "fail");
  EXPECT_EQ(report.find("connection").dump().find("sesame"), std::string::npos);
}

TEST(CliDoctorUnreached, TooOldIsExitCode4) {
  const FakeServer old({{"server_version", "13.16"}, {"in_hot_standby", "off"}});
  EXPECT_EQ(examine(old.url()).status, 4);
}

TEST(CliDoctorUnreached, AMalformedUrlIsAUsageError) {
  EXPECT_EQ(run_weir({"doctor", "--database-url", "nonsense"}).status, 2);
}

/// A server in recovery for ever: a standby whose primary never comes.
class Standby {
 public:
  Standby() {
    embedded::ServerOptions options;
    options.project = folder_.path();
    options.durable = false;
    server_.emplace(options);
    const embedded::ServerStatus made = server_->start(soon(), {});
    server_->stop(soon(), {});
    const auto owner = exec::find_user(made.user);
    {
      const exec::FileIdentity as_owner(::geteuid() == 0 ? owner : std::nullopt);
      std::ofstream(made.data / "standby.signal").flush();
    }
    const char* const wanted = std::getenv("WEIR_PG_BIN");
    embedded::BinarySearch search;
    if (wanted != nullptr && *wanted != '\0') search.wanted = wanted;
    search.path = std::getenv("PATH");
    search.data_major = made.major;
    exec::Command command;
    command.argv = {embedded::find_binaries(search, soon(), {}).folder / "postgres", "-D",
                    made.data.string()};
    command.cwd = "/";
    if (::geteuid() == 0) command.run_as = owner;
    process_ = std::make_unique<exec::Child>(command);
    url_ = made.url;
    data_home_ = made.data.parent_path();
  }
  ~Standby() {
    process_.reset();
    std::filesystem::remove_all(data_home_);
  }

  [[nodiscard]] const std::string& url() const noexcept { return url_; }

 private:
  static Deadline soon() { return Deadline::after(std::chrono::seconds(60)); }

  ScratchFolder folder_{"standby"};
  std::optional<embedded::PrivateServer> server_;
  std::unique_ptr<exec::Child> process_;
  std::string url_;
  std::filesystem::path data_home_;
};

TEST(CliDoctorStandby, SaysThatItIsOne) {
  const Standby standby;
  const WeirSetup setup{.env = {{"DATABASE_URL", standby.url()}}};
  wait_until([&] { return run_weir({"db", "status"}, setup).status == 0; }, "the standby to answer");
  const auto status = nlohmann::json::parse(run_weir({"db", "status", "--json"}, setup).out);
  EXPECT_EQ(status.at("standby"), true);
  const Report report = examine(standby.url());
  EXPECT_EQ(report.status, 1);
  EXPECT_EQ(report.verdict("writable"), "fail");
  EXPECT_EQ(report.verdict("pooler"), "ok") << report.find("pooler");
  const WeirResult up = run_weir({"up"}, setup);
  EXPECT_EQ(up.status, 4);
  EXPECT_THAT(up.err, HasSubstr("is a read-only standby"));
}

}  // namespace
}  // namespace weir::test
