#include <filesystem>
#include <thread>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/unique_fd.h"
#include "exec/captured_text.h"
#include "exec/command.h"
#include "exec/file_identity.h"

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

TEST(ExecFileIdentity, NothingForNobodyInParticular) {
  const FileIdentity unchanged(std::nullopt);
  EXPECT_EQ(::access("/", R_OK), 0);
}

}  // namespace
}  // namespace weir::exec
