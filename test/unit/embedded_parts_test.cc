#include <csignal>
#include <fstream>
#include <stdexcept>

#include <unistd.h>

#include <gtest/gtest.h>

#include "base/error.h"
#include "embedded/binaries.h"
#include "embedded/file_lock.h"
#include "embedded/files.h"
#include "embedded/postmaster_file.h"
#include "embedded/server_log.h"
#include "embedded/server_status.h"
#include "embedded/settings.h"
#include "embedded/site_choice.h"
#include "support/errors.h"
#include "support/processes.h"
#include "support/server.h"

namespace weir::embedded {
namespace {

namespace fs = std::filesystem;

using test::error_of;
using test::has;

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

/// A folder with programs that answer `version` to --version, or fail when it is empty.
fs::path make_programs(const fs::path& folder, const std::string& version) {
  fs::create_directories(folder);
  for (const char* name : {"postgres", "initdb"}) {
    std::ofstream(folder / name) << "#!/bin/sh\n"
                                 << (version.empty() ? "echo broken >&2; exit 127"
                                                     : "echo 'postgres (PostgreSQL) " + version + "'")
                                 << "\n";
    fs::permissions(folder / name, fs::perms(0755));
  }
  return folder;
}

Deadline soon() { return Deadline::after(std::chrono::seconds(60)); }

TEST(EmbeddedBinaries, ABrokenInstallationDoesNotSpoilTheOthers) {
  const test::ScratchFolder scratch("binaries");
  make_programs(scratch.path() / "17" / "bin", "");
  BinarySearch search;
  search.versioned = scratch.path();
  const Error alone = error_of([&] { find_binaries(search, soon(), {}); });
  EXPECT_EQ(alone.exit_code(), ExitCode::database);
  EXPECT_TRUE(has(alone.what(), "17/bin/postgres --version failed (exit status 127): broken"))
      << alone.what();
  make_programs(scratch.path() / "16" / "bin", "16.1");
  EXPECT_EQ(find_binaries(search, soon(), {}).version.major, 16);
}

TEST(EmbeddedBinaries, ARelativeFolderIsTakenWhereWeStandOrNotAtAll) {
  const test::ScratchFolder scratch("binaries");
  const fs::path folder = make_programs(scratch.path() / "bin", "15.1");
  BinarySearch search;
  search.versioned = scratch.path() / "none";
  search.wanted = fs::relative(folder);
  EXPECT_TRUE(fs::equivalent(find_binaries(search, soon(), {}).folder, folder));
  EXPECT_TRUE(find_binaries(search, soon(), {}).folder.is_absolute()) << "the programs run in other folders";

  search.wanted.reset();
  search.path = fs::relative(folder).string() + "::";
  EXPECT_EQ(error_of([&] { find_binaries(search, soon(), {}); }).exit_code(), ExitCode::database)
      << "on PATH it is whatever lies in the folder where we happen to stand";
  search.path += folder.string();
  EXPECT_EQ(find_binaries(search, soon(), {}).folder, folder);
}

TEST(EmbeddedFiles, AFailureLeavesTheOldAndNothingNew) {
  const test::ScratchFolder scratch("files");
  const fs::path target = scratch.path() / "taken";
  fs::create_directory(target);
  const Error error = error_of([&] { write_file(target, "text", false); });
  EXPECT_EQ(error.exit_code(), ExitCode::database);
  EXPECT_FALSE(error.remedy().empty());
  EXPECT_EQ(std::distance(fs::directory_iterator(scratch.path()), {}), 1) << "only the folder is there";
}

TEST(EmbeddedFiles, SmallOnesAreReadWholeOrNotAtAll) {
  const test::ScratchFolder scratch("files");
  const fs::path file = scratch.path() / "file";
  EXPECT_EQ(read_small_file(file), std::nullopt);
  const std::string text(100'000, 'x');
  write_file(file, text, false);
  EXPECT_EQ(read_small_file(file), text);
  write_file(file, std::string((1 << 20) + 1, 'x'), false);
  EXPECT_NE(error_of([&] { read_small_file(file); }).exit_code(), ExitCode::ok);
}

TEST(EmbeddedFileLock, NeedsAnAbsolutePath) {
  for (const char* path : {"", "pg-start.lock", "./pg-start.lock"}) {
    EXPECT_THROW(FileLock{path}, std::logic_error) << path;
  }
  EXPECT_FALSE(fs::exists("pg-start.lock"));
}

TEST(EmbeddedFileLock, IsFreeAtItsEndAlsoWhereAForkHasTheFileOpen) {
  const test::ScratchFolder scratch("lock");
  const fs::path file = scratch.path() / "lock";
  pid_t copy = 0;
  {
    FileLock lock(file);
    ASSERT_TRUE(lock.try_exclusive());
    copy = test::in_process([] { return ::pause(); });
    EXPECT_FALSE(FileLock(file).try_exclusive());
  }
  EXPECT_TRUE(FileLock(file).try_exclusive());
  ::kill(copy, SIGKILL);
  test::status_of(copy);
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
  EXPECT_TRUE(parse_postmaster_file("1\n/d\n0\n1\n/s\n\n\nready\n")->ready());
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

TEST(EmbeddedStatus, TcpUrlsConnectToWhateverIsListenedOn) {
  EXPECT_EQ(tcp_url("abc", "127.0.0.1", 5432), "postgresql://weir:abc@127.0.0.1:5432/weir");
  for (const char* everywhere : {"*", "0.0.0.0", "::"}) {
    EXPECT_EQ(tcp_url("abc", everywhere, 1), "postgresql://weir:abc@127.0.0.1:1/weir");
  }
  EXPECT_EQ(tcp_url("abc", "::1", 1), "postgresql://weir:abc@[::1]:1/weir");
  EXPECT_EQ(tcp_url("a@b/c", "h", 1), "postgresql://weir:a%40b%2Fc@h:1/weir");
}

}  // namespace
}  // namespace weir::embedded
