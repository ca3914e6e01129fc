// What a load takes of memory does not grow with what it reads: `weir load` as a process, and the most that
// it ever had.

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <fmt/format.h>
#include <malloc.h>

#include "support/database.h"

namespace weir::load {
namespace {

constexpr long kMostKibibytes = 64L * 1024;

class LoadMemoryTest : public test::SchemaTest {
 protected:
  void SetUp() override {
    SchemaTest::SetUp();
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "a sanitizer takes memory of its own";
#endif
    pg::Session session = this->session();
    session.execute("CREATE UNLOGGED TABLE public.t (id int8, v text)");
  }

  std::int64_t number(const std::string& sql) {
    return session().execute("SELECT (" + sql + ")::int8")[0].get<std::int64_t>(0);
  }

  struct Ended {
    int status = 0;
    long kibibytes = 0;
    std::string said{};
  };

  /// Runs weir with these words; `source` writes to its standard input.
  Ended run(const std::vector<std::string>& words, const std::function<void(int)>& source) {
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
    const std::string log = (folder_.path() / "log").string();
    const std::string url = this->url();
    // What is counted for a child begins with what its parent held when it was forked.
    ::malloc_trim(0);
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::setenv("DATABASE_URL", url.c_str(), 1);
      ::dup2(pipe[0], 0);
      const int out = ::open(log.c_str(), O_WRONLY | O_TRUNC | O_CREAT, 0644);
      ::dup2(out, 1);
      ::dup2(out, 2);
      std::vector<char*> argv{const_cast<char*>(binary().c_str())};
      for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
      argv.push_back(nullptr);
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    ::close(pipe[0]);
    ::signal(SIGPIPE, SIG_IGN);
    if (source) source(pipe[1]);
    ::close(pipe[1]);
    Ended ended;
    int status = 0;
    rusage usage{};
    ::wait4(pid, &status, 0, &usage);
    ended.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    ended.kibibytes = usage.ru_maxrss;
    std::ifstream file(log);
    ended.said.assign(std::istreambuf_iterator<char>(file), {});
    return ended;
  }

  /// So often this text.
  static void write_times(int fd, const std::string& text, std::size_t times) {
    for (; times > 0; --times) {
      if (::write(fd, text.data(), text.size()) < 0) return;
    }
  }

 private:
  static const std::string& binary() {
    static const std::string path = [] {
      const char* chosen = std::getenv("WEIR_BINARY");
      return std::string(chosen != nullptr && *chosen != '\0' ? chosen : WEIR_DEFAULT_BINARY);
    }();
    return path;
  }

  test::ScratchFolder folder_{"load-memory"};
};

TEST_F(LoadMemoryTest, OfManyRecords) {
  std::string lines;
  for (int n = 0; n < 10'000; ++n) lines += fmt::format("{},a text of the record {}\n", n, n);
  const Ended ended = run({"load", "-", "--into", "t", "--mode", "append", "--staged"}, [&](int fd) {
    write_times(fd, "id,v\n", 1);
    write_times(fd, lines, 200);
  });
  EXPECT_EQ(ended.status, 0) << ended.said;
  EXPECT_LT(ended.kibibytes, kMostKibibytes);
  EXPECT_EQ(number("SELECT count(*) FROM t"), 2'000'000);
}

TEST_F(LoadMemoryTest, OfOneLineThatNeverEnds) {
  const Ended ended = run({"load", "-", "--into", "t", "--mode", "append", "--max-rejects", "1"}, [](int fd) {
    write_times(fd, "id,v\n1,a\n2,\"", 1);
    write_times(fd, std::string(1U << 20U, 'x'), 500);
    write_times(fd, "\"\n3,c\n", 1);
  });
  EXPECT_EQ(ended.status, 0) << ended.said;
  EXPECT_LT(ended.kibibytes, kMostKibibytes);
  EXPECT_EQ(number("SELECT count(*) FROM t"), 2);
  EXPECT_EQ(
      number(
          "SELECT count(*) FROM weir.load_reject WHERE line = 3 AND reason LIKE '%longer than 16.0 MiB%' AND "
          "octet_length(raw) = 65536"),
      1);
}

TEST_F(LoadMemoryTest, OfTenThousandColumns) {
  std::string header = "c0";
  std::string row = "12345";
  for (int n = 1; n < 10'000; ++n) {
    header += fmt::format(",c{}", n);
    row += ",12345";
  }
  const Ended ended = run({"load", "-", "--into", "wide", "--mode", "append"}, [&](int fd) {
    write_times(fd, header + "\n", 1);
    write_times(fd, row + "\n", 1'000);
  });
  EXPECT_EQ(ended.status, 3) << ended.said;
  EXPECT_NE(ended.said.find("10000 columns"), std::string::npos) << ended.said;
  EXPECT_LT(ended.kibibytes, kMostKibibytes);
}

TEST_F(LoadMemoryTest, OfManyRejects) {
  // Those that are short are the most.
  std::string lines;
  for (int n = 0; n < 1'000; ++n) lines += n % 2 == 0 ? "x,\n" : "none," + std::string(300, 'x') + "\n";
  const Ended loaded =
      run({"load", "-", "--into", "t", "--mode", "append", "--max-rejects", "100%"}, [&](int fd) {
        write_times(fd, "id,v\n", 1);
        write_times(fd, lines, 250);
      });
  EXPECT_EQ(loaded.status, 0) << loaded.said;
  EXPECT_LT(loaded.kibibytes, kMostKibibytes);
  const std::string last = std::to_string(number("SELECT max(run) FROM weir.load_reject"));
  for (const char* form : {"--csv", "--ndjson"}) {
    const Ended told = run({"load", "rejects", last, form}, {});
    EXPECT_EQ(told.status, 0);
    EXPECT_LT(told.kibibytes, kMostKibibytes) << form;
  }
  EXPECT_LT(run({"load", "show", last}, {}).kibibytes, kMostKibibytes);
}

TEST_F(LoadMemoryTest, OfAReplay) {
  const Ended loaded = run({"load", "-", "--into", "t", "--mode", "append", "--max-rejects", "1"},
                           [](int fd) { write_times(fd, "id,v\n1,a\nnone,b\n", 1); });
  ASSERT_EQ(loaded.status, 0) << loaded.said;
  const std::string last = std::to_string(number("SELECT max(run) FROM weir.load_reject"));
  // 180 MB that are long, and as many as memory would not hold that are short.
  session().execute("DELETE FROM weir.load_reject");
  session().execute(
      "INSERT INTO weir.load_reject (run, line, file, column_name, sqlstate, reason, raw) "
      "SELECT $1, n, '', 'v', '', 'no', convert_to(n || ',' || repeat('x', CASE WHEN n <= 3000 THEN 60000 "
      "ELSE "
      "9 END), 'UTF8') FROM generate_series(1, 303000) n",
      static_cast<std::int64_t>(std::stoll(last)));
  const Ended replayed = run({"load", "replay", last, "--fields", "id,v"}, {});
  EXPECT_EQ(replayed.status, 0) << replayed.said;
  EXPECT_LT(replayed.kibibytes, kMostKibibytes);
  EXPECT_EQ(number("SELECT count(*) FROM t"), 303'001);
  EXPECT_EQ(number("SELECT sum(length(v)) FROM t WHERE id > 1 OR length(v) > 1"),
            3'000 * 60'000L + 300'000 * 9);
  for (const std::vector<std::string>& words : {std::vector<std::string>{"load", "rejects", last},
                                                {"load", "rejects", last, "--csv"},
                                                {"load", "show", last}}) {
    const Ended told = run(words, {});
    EXPECT_EQ(told.status, 0) << told.said;
    EXPECT_LT(told.kibibytes, kMostKibibytes) << words[1] << words.size();
  }
}

}  // namespace
}  // namespace weir::load
