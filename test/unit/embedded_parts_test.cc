#include <gtest/gtest.h>

#include "base/error.h"
#include "embedded/binaries.h"
#include "embedded/postmaster_file.h"
#include "embedded/server_log.h"
#include "embedded/server_status.h"
#include "embedded/settings.h"
#include "embedded/site_choice.h"

namespace weir::embedded {
namespace {

namespace fs = std::filesystem;

/// The Error that `action` throws: its exit code, message and remedy.
template <class Action>
Error error_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  return Error(ExitCode::ok, "nothing was thrown");
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST(EmbeddedBinaries, ReadsVersions) {
  const auto debian = parse_version("postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n");
  ASSERT_TRUE(debian);
  EXPECT_EQ(debian->major, 15);
  EXPECT_EQ(debian->text, "15.20");
  EXPECT_EQ(parse_version("postgres (PostgreSQL) 18beta1\n")->major, 18);
  EXPECT_EQ(parse_version("postgres (PostgreSQL) 9.6.24")->major, 9);
  EXPECT_FALSE(parse_version("psql (PostgreSQL) 15.20"));
  EXPECT_FALSE(parse_version("postgres (PostgreSQL) devel"));
  EXPECT_FALSE(parse_version(""));
}

std::vector<Binaries> of_majors(std::initializer_list<int> majors) {
  std::vector<Binaries> out;
  for (const int major : majors)
    out.push_back({fs::path("/pg") / std::to_string(major), "", {major, std::to_string(major) + ".1"}});
  return out;
}

TEST(EmbeddedBinaries, NewDataTakesTheFirstThatIsNotTooOld) {
  const auto candidates = of_majors({13, 15, 17});
  EXPECT_EQ(choose_binaries(candidates, std::nullopt)->version.major, 15);
  EXPECT_EQ(choose_binaries(of_majors({12, 13}), std::nullopt), nullptr);
  EXPECT_EQ(choose_binaries({}, std::nullopt), nullptr);
}

TEST(EmbeddedBinaries, DataTakesItsOwnVersion) {
  const auto candidates = of_majors({13, 15, 17});
  EXPECT_EQ(choose_binaries(candidates, 17)->version.major, 17);
  EXPECT_EQ(choose_binaries(candidates, 16), nullptr);
  EXPECT_EQ(choose_binaries(candidates, 13), nullptr);
}

TEST(EmbeddedBinaries, SaysWhyNoneFits) {
  const Error none = error_of([] { throw_no_binaries({}, std::nullopt, "/d", "PATH (/bin)"); });
  EXPECT_EQ(none.exit_code(), ExitCode::database);
  EXPECT_TRUE(has(none.what(), "PATH (/bin)")) << none.what();
  EXPECT_TRUE(has(none.remedy(), "apt-get install postgresql")) << none.remedy();

  const auto old = of_majors({13});
  const Error too_old = error_of([&] { throw_no_binaries(old, std::nullopt, "/d", ""); });
  EXPECT_EQ(too_old.exit_code(), ExitCode::refused);
  EXPECT_TRUE(has(too_old.what(), "13.1 in /pg/13")) << too_old.what();

  const auto other = of_majors({17});
  const Error mismatch = error_of([&] { throw_no_binaries(other, 15, "/d", ""); });
  EXPECT_EQ(mismatch.exit_code(), ExitCode::refused);
  EXPECT_TRUE(has(mismatch.what(), "/d") && has(mismatch.what(), "15") && has(mismatch.what(), "17.1"))
      << mismatch.what();
  EXPECT_TRUE(has(mismatch.remedy(), "WEIR_PG_BIN") && has(mismatch.remedy(), "pg_upgrade"))
      << mismatch.remedy();
}

TEST(EmbeddedSettings, FollowTheMemory) {
  struct Case {
    std::uint64_t megabytes;
    const char* shared_buffers;
    const char* work_mem;
    const char* maintenance_work_mem;
    const char* max_wal_size;
  };
  for (const Case& one :
       {Case{64, "32MB", "4MB", "32MB", "512MB"}, Case{1024, "256MB", "4MB", "64MB", "512MB"},
        Case{4096, "1024MB", "16MB", "256MB", "1024MB"},
        Case{1024 * 1024, "4096MB", "64MB", "1024MB", "4096MB"}}) {
    const Settings settings = settings_for({one.megabytes << 20, 1 << 30}, {});
    EXPECT_EQ(settings.at("shared_buffers"), one.shared_buffers) << one.megabytes;
    EXPECT_EQ(settings.at("work_mem"), one.work_mem) << one.megabytes;
    EXPECT_EQ(settings.at("maintenance_work_mem"), one.maintenance_work_mem) << one.megabytes;
    EXPECT_EQ(settings.at("max_wal_size"), one.max_wal_size) << one.megabytes;
  }
}

TEST(EmbeddedSettings, FollowTheNeeds) {
  const Settings plain = settings_for({1ULL << 30, 1ULL << 30}, {"/s", "/l", 5432, false, true});
  EXPECT_EQ(plain.at("listen_addresses"), "");
  EXPECT_EQ(plain.at("unix_socket_directories"), "/s");
  EXPECT_FALSE(plain.contains("fsync"));
  EXPECT_FALSE(plain.contains("dynamic_shared_memory_type"));

  const Settings other = settings_for({1ULL << 30, 64ULL << 20}, {"/s", "/l", 6000, true, false});
  EXPECT_EQ(other.at("listen_addresses"), "127.0.0.1");
  EXPECT_EQ(other.at("port"), "6000");
  EXPECT_EQ(other.at("fsync"), "off");
  EXPECT_EQ(other.at("dynamic_shared_memory_type"), "sysv");
}

TEST(EmbeddedSettings, AreWrittenForPostgres) {
  EXPECT_EQ(quote_setting("/it's \\ here"), "'/it''s \\\\ here'");
  const std::string text = render_settings({{"port", "1"}, {"work_mem", "4MB"}});
  EXPECT_TRUE(has(text, "\nport = '1'\nwork_mem = '4MB'\ninclude_if_exists = 'custom.conf'\n")) << text;
}

TEST(EmbeddedSettings, TheMachineHasMemory) { EXPECT_GT(this_machine().memory, 16U << 20); }

TEST(EmbeddedPostmasterFile, IsReadWholeAndInPart) {
  const std::string whole = "123\n/data\n1700000000\n5432\n/run dir\n127.0.0.1\n  12 34\nready   \n";
  const auto file = parse_postmaster_file(whole);
  ASSERT_TRUE(file);
  EXPECT_EQ(file->pid, 123);
  EXPECT_EQ(file->started, 1700000000);
  EXPECT_EQ(file->port, 5432);
  EXPECT_EQ(file->socket_folder, "/run dir");
  EXPECT_EQ(file->listen_address, "127.0.0.1");
  EXPECT_TRUE(file->ready());

  for (std::size_t size = 4; size < whole.size(); ++size) {
    const auto part = parse_postmaster_file(whole.substr(0, size));
    ASSERT_TRUE(part) << size;
    EXPECT_FALSE(part->ready()) << size;
  }
  EXPECT_FALSE(parse_postmaster_file("12"));
  EXPECT_TRUE(parse_postmaster_file("1\n/d\n0\n1\n/s\n\n\nstopping\n")->stopping());
}

TEST(EmbeddedPostmasterFile, RefusesWhatIsNoProcess) {
  for (const char* text : {"", "\n", "x\n", "-5\n", "0\n", "99999999999999\n", "12x\n"}) {
    EXPECT_FALSE(parse_postmaster_file(text)) << text;
  }
}

TEST(EmbeddedPostmasterFile, LosesItsProcessAndNothingElse) {
  EXPECT_EQ(without_process("123\n/data\n  12 34\n"), "2147483647\n/data\n  12 34\n");
  EXPECT_EQ(without_process("123"), "2147483647\n");
}

TEST(EmbeddedServerLog, FindsTheLineThatTells) {
  const char* full_disk =
      "creating subdirectories ... ok\nrunning bootstrap script ... "
      "2026-11-21 03:53:25.013 UTC [5686] FATAL:  could not write to file \"pg_wal/xlogtemp.1\": No space "
      "left on device\n"
      "child process exited with exit code 1\ninitdb: removing data directory \"/d\"\n";
  EXPECT_EQ(last_useful_line(full_disk),
            "FATAL: could not write to file \"pg_wal/xlogtemp.1\": No space left on device");
  EXPECT_EQ(last_useful_line("initdb: error: could not create directory \"/d\": Permission denied\n"),
            "initdb: error: could not create directory \"/d\": Permission denied");
  EXPECT_EQ(last_useful_line("some words\n\n"), "some words");
  EXPECT_EQ(last_useful_line("Success ... ok\n"), "");
  EXPECT_EQ(last_useful_line(""), "");
}

TEST(EmbeddedServerLog, DropsTheChatter) {
  const char* log =
      "2026-11-21 03:53:25 UTC [1] LOG:  redirecting log output to logging collector process\n"
      "2026-11-21 03:53:25 UTC [1] HINT:  Future log output will appear in directory \"/l\".\n"
      "2026-11-21 03:53:25 UTC [1] LOG:  starting PostgreSQL 15.20\n"
      "2026-11-21 03:53:25 UTC [1] LOG:  could not bind IPv4 address \"127.0.0.1\": Address already in use\n"
      "2026-11-21 03:53:25 UTC [1] FATAL:  could not create any TCP/IP sockets\n"
      "2026-11-21 03:53:25 UTC [1] LOG:  database system is shut down\n";
  EXPECT_EQ(
      telling_lines(log, 6),
      (std::vector<std::string>{"LOG: could not bind IPv4 address \"127.0.0.1\": Address already in use",
                                "FATAL: could not create any TCP/IP sockets"}));
  EXPECT_EQ(telling_lines(log, 1), (std::vector<std::string>{"FATAL: could not create any TCP/IP sockets"}));
}

TEST(EmbeddedSite, ChoosesTheUser) {
  const auto with = [](auto change) {
    UserFacts facts{.root = true,
                    .myself = "root",
                    .wanted = {},
                    .wanted_usable = false,
                    .data_owner = {},
                    .project_owner = {},
                    .has_postgres = true};
    change(facts);
    return facts;
  };
  EXPECT_EQ(choose_user(with([](UserFacts&) {})), "postgres");
  EXPECT_EQ(choose_user(with([](UserFacts& f) { f.project_owner = "ann"; })), "ann");
  EXPECT_EQ(choose_user(with([](UserFacts& f) { f.project_owner = "ann", f.data_owner = "bob"; })), "bob");
  EXPECT_EQ(
      choose_user(with([](UserFacts& f) { f.data_owner = "bob", f.wanted = "eve", f.wanted_usable = true; })),
      "eve");
  EXPECT_EQ(choose_user(with([](UserFacts& f) { f.root = false, f.myself = "ann"; })), std::nullopt);
  EXPECT_EQ(choose_user(with([](UserFacts& f) { f.root = false, f.myself = f.wanted.emplace("ann"); })),
            std::nullopt);

  const auto code = [&](auto change) { return error_of([&] { choose_user(with(change)); }).exit_code(); };
  EXPECT_EQ(code([](UserFacts& f) { f.has_postgres = false; }), ExitCode::refused);
  EXPECT_EQ(code([](UserFacts& f) { f.wanted = "root"; }), ExitCode::usage);
  EXPECT_EQ(code([](UserFacts& f) { f.root = false, f.wanted = "eve"; }), ExitCode::refused);
}

TEST(EmbeddedSite, ChoosesTheFolder) {
  FolderFacts facts{.in_project = "/p/.weir/pg",
                    .in_system = "/v/p-1",
                    .user = "postgres",
                    .closed = {},
                    .project_has_data = false,
                    .system_has_data = false};
  EXPECT_EQ(choose_folder(facts).home, "/p/.weir/pg");
  EXPECT_FALSE(choose_folder(facts).notice);

  facts.system_has_data = true;
  EXPECT_EQ(choose_folder(facts).home, "/v/p-1") << "data stays where it is when the project opens";
  EXPECT_TRUE(choose_folder(facts).notice);
  facts.project_has_data = true;
  EXPECT_EQ(choose_folder(facts).home, "/p/.weir/pg");

  facts.closed = "/p";
  const Error locked_out = error_of([&] { choose_folder(facts); });
  EXPECT_EQ(locked_out.exit_code(), ExitCode::refused)
      << "never an empty database in place of the one that is there";
  facts.project_has_data = false;
  EXPECT_EQ(choose_folder(facts).home, "/v/p-1");
  EXPECT_TRUE(has(*choose_folder(facts).notice, "postgres cannot enter /p"));
}

TEST(EmbeddedSite, SystemFoldersAreReadableAndDistinct) {
  EXPECT_TRUE(system_folder_name("/root/shop").starts_with("shop-"));
  EXPECT_NE(system_folder_name("/root/shop"), system_folder_name("/home/shop"));
  EXPECT_LT(system_folder_name("/" + std::string(255, 'x')).size(), 100U);
}

TEST(EmbeddedSite, SocketsGetAPathThatFits) {
  EXPECT_EQ(choose_socket_folder("/p/.weir/pg", 7), "/p/.weir/pg/run");
  const fs::path longest = "/" + std::string(107 - 1 - std::string("/run/.s.PGSQL.65535").size(), 'x');
  EXPECT_EQ(choose_socket_folder(longest, 7), longest / "run");
  for (const fs::path& other : {fs::path(longest.string() + "x"), fs::path("/a,b"), fs::path("/a\"b")}) {
    EXPECT_TRUE(choose_socket_folder(other, 7).string().starts_with("/tmp/weir-7-")) << other;
  }
}

TEST(EmbeddedStatus, UrlsHoldAnyPath) {
  EXPECT_EQ(socket_url("/p/.weir/pg/run", 5432),
            "postgresql://weir@/weir?host=%2Fp%2F.weir%2Fpg%2Frun&port=5432");
  EXPECT_EQ(socket_url("/a b&c", 1), "postgresql://weir@/weir?host=%2Fa%20b%26c&port=1");
}

}  // namespace
}  // namespace weir::embedded
