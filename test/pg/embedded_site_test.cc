#include <fstream>

#include <sys/stat.h>
#include <unistd.h>

#include "pg/embedded_fixture.h"

namespace weir::embedded {
namespace {

class EmbeddedSites : public EmbeddedServerTest {};

TEST_F(EmbeddedSites, ALongPathGetsAShortSocketFolder) {
  project_ = base_ / std::string(120, 'x');
  fs::create_directory(project_);
  make_data();
  const ServerStatus status = start();
  EXPECT_TRUE(status.socket_folder.string().starts_with("/tmp/weir-")) << status.socket_folder;
  EXPECT_EQ(ask(status.url, "SELECT 1"), "1");
  EXPECT_TRUE(server().stop(soon(), {}));
  EXPECT_FALSE(fs::exists(status.socket_folder)) << "nobody would ever clear it away";
}

TEST_F(EmbeddedSites, APathThatPostgresWouldCutOffIsRefused) {
  constexpr std::size_t kLongest = 900 - std::string_view("/.weir/pg").size();
  while (kLongest - project_.native().size() > 200) project_ /= std::string(100, 'x');
  project_ /= std::string(kLongest - project_.native().size() - 1, 'y');
  fs::create_directories(project_);
  EXPECT_EQ(ask(start().url, "SELECT 1"), "1") << "the longest";
  EXPECT_TRUE(server().stop(soon(), {}));
  project_ += "y";
  fs::create_directories(project_);
  const Error error = error_of([&] { PrivateServer{options()}; });
  EXPECT_EQ(error.exit_code(), ExitCode::usage);
  EXPECT_TRUE(has(error.what(), "901 bytes")) << error.what();
  project_ = base_ / "project";
}

TEST_F(EmbeddedSites, ASocketFolderOfAStrangerIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to be the stranger";
  project_ = base_ / std::string(120, 'y');
  fs::create_directory(project_);
  make_data();
  const fs::path folder = server().status().socket_folder;
  fs::create_directory(folder);
  ASSERT_EQ(::chown(folder.c_str(), 65534, 65534), 0);
  const Error error = error_of([&] { start(); });
  EXPECT_EQ(error.exit_code(), ExitCode::refused);
  EXPECT_TRUE(has(error.what(), folder.string())) << error.what();
  fs::remove(folder);
  fs::create_symlink("/tmp", folder);
  EXPECT_EQ(error_of([&] { start(); }).exit_code(), ExitCode::database) << "a link is no folder";
  fs::remove(folder);
}

TEST_F(EmbeddedSites, OddPathsWork) {
  project_ = base_ / "it's \"my\" project, 100% \\ done";
  fs::create_directory(project_);
  make_data();
  EXPECT_EQ(ask(start().url, "SELECT 1"), "1");
}

TEST_F(EmbeddedSites, RootRunsItAsTheOwnerOfTheProject) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const auto games = exec::find_user("games");
  if (!games) GTEST_SKIP() << "needs a user who owns nothing here";
  ASSERT_EQ(::chown(project_.c_str(), games->uid, games->gid), 0);
  const ServerStatus status = start();
  EXPECT_EQ(status.user, "games");
  for (const auto& entry : fs::directory_iterator(project_ / ".weir")) {
    struct stat info {};
    ASSERT_EQ(::stat(entry.path().c_str(), &info), 0);
    EXPECT_EQ(info.st_uid, games->uid) << entry.path();
  }
  const pid_t owner = in_process([&] {
    if (::setgid(games->gid) != 0 || ::setuid(games->uid) != 0) return 1;
    const PrivateServer mine(options());
    return mine.status().pid == status.pid && mine.stop(soon(), {}) ? 0 : 2;
  });
  EXPECT_EQ(status_of(owner), 0) << "the owner can use what root started";
}

TEST_F(EmbeddedSites, AProjectTheServersUserCannotEnterGetsASystemFolder) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  fs::permissions(project_, fs::perms(0700));
  const ServerStatus status = start();
  EXPECT_TRUE(status.data.string().starts_with((base_ / "system" / "project-").string())) << status.data;
  ASSERT_EQ(status.notices.size(), 1U);
  EXPECT_TRUE(has(status.notices.front(), "cannot enter " + project_.string())) << status.notices.front();
  EXPECT_EQ(ask(status.url, "SELECT 1"), "1");
  fs::permissions(project_, fs::perms(0755));
  EXPECT_EQ(server().status().pid, status.pid) << "the data is found again when the project opens";
}

TEST_F(EmbeddedSites, DataInTheSystemFolderIsNotForgottenByTheOwner) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const auto games = exec::find_user("games");
  if (!games) GTEST_SKIP() << "needs a user who owns nothing here";
  fs::permissions(project_, fs::perms(0700));
  start();
  ASSERT_EQ(::chown(project_.c_str(), games->uid, games->gid), 0);
  const pid_t owner = in_process([&] {
    if (::setgid(games->gid) != 0 || ::setuid(games->uid) != 0) return 1;
    const Error error = error_of([&] { server().start(soon(), {}); });
    return error.exit_code() == ExitCode::refused && has(error.what(), (base_ / "system").string()) ? 0 : 2;
  });
  EXPECT_EQ(status_of(owner), 0) << "an empty database would have looked like a loss";
}

TEST_F(EmbeddedSites, RootGivesNothingAwayThatALinkLeadsTo) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const auto games = exec::find_user("games");
  if (!games) GTEST_SKIP() << "needs a user who owns nothing here";
  const fs::path open = base_ / "open";
  for (const fs::path& folder : {open, open / "pg"}) fs::create_directory(folder);
  fs::permissions(open, fs::perms(0777));
  std::ofstream(open / ".gitignore").flush();
  fs::create_directory_symlink(open, project_ / ".weir");
  ASSERT_EQ(::lchown(project_.c_str(), games->uid, games->gid), 0);
  ServerOptions wanted = options();
  wanted.user = "games";
  EXPECT_EQ(error_of([&] { PrivateServer(wanted).start(soon(), {}); }).exit_code(), ExitCode::refused);
  struct stat info {};
  ASSERT_EQ(::stat((open / "pg").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 0U);
}

TEST_F(EmbeddedSites, AHomeThatWasNotYetHandedOverIs) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const auto games = exec::find_user("games");
  if (!games) GTEST_SKIP() << "needs a user who owns nothing here";
  // Root, told to run the server as somebody else than the owner, was killed before it gave the home away.
  const fs::path home = project_ / ".weir" / "pg";
  fs::create_directories(home);
  for (const fs::path& folder : {project_, home.parent_path(), home}) {
    ASSERT_EQ(::chown(folder.c_str(), games->uid, games->gid), 0);
  }
  ServerOptions wanted = options();
  wanted.user = "postgres";
  const ServerStatus status = PrivateServer(wanted).start(soon(), {});
  EXPECT_EQ(status.user, "postgres");
  EXPECT_EQ(ask(status.url, "SELECT 1"), "1");
  PrivateServer(wanted).stop(soon(), {});
}

TEST_F(EmbeddedSites, ACopyOfARunningProjectGetsAServerOfItsOwn) {
  make_data();
  const ServerStatus original = start();
  exec::Command copy;
  copy.argv = {"cp", "-a", project_, base_ / "copy"};
  ASSERT_TRUE(exec::run_command(copy, soon(), {}).ok());
  ServerOptions options = this->options();
  options.project = base_ / "copy";
  const PrivateServer second(options);
  EXPECT_EQ(second.status().state, ServerState::stopped);
  const ServerStatus status = second.start(soon(), {});
  EXPECT_NE(status.pid, original.pid);
  EXPECT_NE(status.url, original.url);
  EXPECT_EQ(ask(status.url, "SELECT 1"), "1");
  EXPECT_TRUE(second.stop(soon(), {}));
  EXPECT_EQ(server().status().state, ServerState::running);
}

TEST_F(EmbeddedSites, NobodyElsesServerIsTouched) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  make_data();
  start();
  const pid_t stranger = in_process([&] {
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) return 1;
    const Error error = error_of([&] { server().stop(soon(), {}); });
    return error.exit_code() == ExitCode::refused && !error.remedy().empty() ? 0 : 2;
  });
  EXPECT_EQ(status_of(stranger), 0);
}

TEST_F(EmbeddedSites, DataOfAnotherUserIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  make_data();
  const fs::path home = project_ / ".weir" / "pg";
  ASSERT_EQ(::chown(home.c_str(), 0, 0), 0);
  ASSERT_EQ(::chown((home / "data").c_str(), 0, 0), 0);
  const Error error = error_of([&] { start(); });
  EXPECT_EQ(error.exit_code(), ExitCode::refused);
  EXPECT_TRUE(has(error.remedy(), "chown -R postgres")) << error.remedy();
}

TEST_F(EmbeddedSites, DataOfAnotherVersionIsRefused) {
  make_data();
  std::ofstream(project_ / ".weir" / "pg" / "data" / "PG_VERSION") << "11\n";
  const Error error = error_of([&] { start(); });
  EXPECT_EQ(error.exit_code(), ExitCode::refused);
  EXPECT_TRUE(has(error.what(), "PostgreSQL 11")) << error.what();
  EXPECT_TRUE(has(error.remedy(), "WEIR_PG_BIN") && has(error.remedy(), "pg_upgrade")) << error.remedy();
}

TEST_F(EmbeddedSites, AFolderThatIsNoClusterIsRefused) {
  make_data();
  fs::remove(project_ / ".weir" / "pg" / "data" / "PG_VERSION");
  EXPECT_EQ(error_of([&] { start(); }).exit_code(), ExitCode::refused);
}

TEST_F(EmbeddedSites, WrongBinariesAreNamed) {
  ServerOptions wrong = options();
  wrong.binaries = "/no/such/bin";
  const Error error = error_of([&] { PrivateServer(wrong).start(soon(), {}); });
  EXPECT_EQ(error.exit_code(), ExitCode::usage);
  EXPECT_TRUE(has(error.what(), "WEIR_PG_BIN is /no/such/bin")) << error.what();
}

TEST_F(EmbeddedSites, OldBinariesAreRefused) {
  const fs::path bin = base_ / "bin";
  fs::create_directory(bin);
  for (const char* name : {"postgres", "initdb"}) {
    std::ofstream(bin / name) << "#!/bin/sh\necho 'postgres (PostgreSQL) 13.9'\n";
    fs::permissions(bin / name, fs::perms(0755));
  }
  ServerOptions old = options();
  old.binaries = bin;
  const Error error = error_of([&] { PrivateServer(old).start(soon(), {}); });
  EXPECT_EQ(error.exit_code(), ExitCode::refused);
  EXPECT_TRUE(has(error.what(), "13.9")) << error.what();
}

TEST_F(EmbeddedSites, AMissingProjectIsAUsageError) {
  ServerOptions wrong = options();
  wrong.project = base_ / "missing";
  EXPECT_EQ(error_of([&] { PrivateServer{wrong}; }).exit_code(), ExitCode::usage);
}

}  // namespace
}  // namespace weir::embedded
