#include <array>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/unique_fd.h"
#include "exec/captured_text.h"
#include "exec/command.h"
#include "exec/file_identity.h"
#include "support/errors.h"
#include "support/processes.h"

namespace weir::exec {
namespace {

namespace fs = std::filesystem;

TEST(ExecCapturedText, ShortTextIsWhole) {
  CapturedText text(4, 4);
  text.append("abc");
  text.append("defgh");
  EXPECT_EQ(text.text(), "abcdefgh");
  EXPECT_EQ(text.left_out(), 0U);
}

TEST(ExecCapturedText, KeepsBothEndsHoweverItArrives) {
  std::string all;
  for (int i = 0; i < 1000; ++i) all += static_cast<char>('a' + i % 26);
  for (const std::size_t piece : {1U, 7U, 999U, 1000U}) {
    CapturedText text(10, 20);
    for (std::size_t at = 0; at < all.size(); at += piece)
      text.append(std::string_view(all).substr(at, piece));
    EXPECT_EQ(text.text(), all.substr(0, 10) + "\n[970 bytes left out]\n" + all.substr(980)) << piece;
  }
}

TEST(ExecCapturedText, MayKeepNothing) {
  CapturedText text(0, 0);
  text.append("abc");
  EXPECT_EQ(text.left_out(), 3U);
}

TEST(ExecFindProgram, LooksThroughTheFoldersInOrder) {
  EXPECT_EQ(find_program("sh", "/no/such:/bin:/usr/bin"), fs::path("/bin/sh"));
  EXPECT_EQ(find_program("./relative", ""), fs::path("./relative"));
  EXPECT_EQ(find_program("passwd", "/etc"), std::nullopt) << "not executable";
  EXPECT_EQ(find_program("etc", "/"), std::nullopt) << "a folder";
  EXPECT_EQ(find_program("sh", ""), std::nullopt);
  EXPECT_EQ(find_program("sh", "::"), std::nullopt);
}

TEST(ExecFindProgram, WhatIsFoundIsTheSameFileInEveryFolder) {
  const auto found = find_program("sh", fs::relative("/bin").string());
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->is_absolute()) << *found;
}

TEST(ExecUser, KnowsRootAndNoStrangers) {
  const auto root = find_user("root");
  ASSERT_TRUE(root);
  EXPECT_EQ(root->uid, 0U);
  EXPECT_EQ(find_user(uid_t{0})->name, "root");
  EXPECT_FALSE(root->groups.empty());
  EXPECT_FALSE(find_user("weir-no-such-user"));
  EXPECT_FALSE(find_user(uid_t{4000000000U}));
}

TEST(ExecFileIdentity, ChangesTheRightsOfThisThreadAlone) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const auto opens = [] { return UniqueFd(::open("/etc/shadow", O_RDONLY | O_CLOEXEC)).valid(); };
  {
    const FileIdentity as_nobody(find_user("nobody"));
    EXPECT_FALSE(opens());
    {
      const FileIdentity as_root(find_user("root"));
      EXPECT_TRUE(opens());
    }
    EXPECT_FALSE(opens());
  }
  EXPECT_TRUE(opens());
  std::atomic<bool> changed{false};
  std::atomic<bool> looked{false};
  std::jthread other([&] {
    changed.wait(false);
    EXPECT_TRUE(opens());
    looked = true;
    looked.notify_all();
  });
  const FileIdentity as_nobody(find_user("nobody"));
  changed = true;
  changed.notify_all();
  looked.wait(false);
}

TEST(ExecFileIdentity, LeavesTheProcessDumpableHoweverThreadsOverlap) {
  if (::geteuid() != 0 || ::prctl(PR_GET_DUMPABLE) != 1) GTEST_SKIP() << "needs root";
  std::atomic<bool> enter{false};
  std::atomic<bool> inside{false};
  std::atomic<bool> leave{false};
  // Made before ours: a new thread has the rights of its maker.
  std::jthread other([&] {
    enter.wait(false);
    const FileIdentity as_nobody(find_user("nobody"));
    inside = true;
    inside.notify_all();
    leave.wait(false);
  });
  std::optional<FileIdentity> ours(std::in_place, find_user("nobody"));
  enter = true;
  enter.notify_all();
  inside.wait(false);
  ours.reset();
  leave = true;
  leave.notify_all();
  other.join();
  EXPECT_EQ(::prctl(PR_GET_DUMPABLE), 1);
}

TEST(ExecFileIdentity, NeverGoesOnAsRootInstead) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  // In a namespace that knows root alone, the kernel refuses every other user without a word.
  std::array<int, 2> made{};
  std::array<int, 2> mapped{};
  ASSERT_TRUE(::pipe(made.data()) == 0 && ::pipe(mapped.data()) == 0);
  const pid_t child = test::in_process([&] {
    char byte = ::unshare(CLONE_NEWUSER) == 0 ? 'y' : 'n';
    if (::write(made[1], &byte, 1) != 1 || byte == 'n' || ::read(mapped[0], &byte, 1) != 1) return 77;
    const User stranger{"stranger", 1234, 0, {0}, "/"};
    try {
      const FileIdentity as_stranger(stranger);
    } catch (const Error& error) {
      return test::has(error.what(), "stranger: Invalid argument") && !error.remedy().empty() ? 0 : 2;
    }
    return 1;
  });
  char byte = 0;
  ASSERT_EQ(::read(made[0], &byte, 1), 1);
  // From outside, where that is allowed without giving up setgroups.
  for (const char* map : {"uid_map", "gid_map"}) {
    std::ofstream("/proc/" + std::to_string(child) + "/" + map) << "0 0 1\n" << std::flush;
  }
  ASSERT_EQ(::write(mapped[1], &byte, 1), 1);
  const int status = test::status_of(child);
  for (const int fd : {made[0], made[1], mapped[0], mapped[1]}) ::close(fd);
  if (status == 77) GTEST_SKIP() << "this machine has no user namespaces for us";
  EXPECT_EQ(status, 0);
}

TEST(ExecFileIdentity, NothingForNobodyInParticular) {
  const FileIdentity unchanged(std::nullopt);
  EXPECT_EQ(::access("/", R_OK), 0);
}

}  // namespace
}  // namespace weir::exec
