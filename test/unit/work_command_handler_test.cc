#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <sys/resource.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "exec/process.h"
#include "support/waiting.h"
#include "work/command_handler.h"

namespace weir::work {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using ::testing::HasSubstr;
using Kind = Outcome::Kind;

// A line's id, as the documentation's shell example takes it, and answers to all lines until a batch's end.
const std::string kId = R"(id=${line#'{"id":"'} id=${id%%'"'*}; )";
const std::string kOk = R"(printf '{"id":"%s","ok":true}\n' "$id"; )";
const std::string kEach = "while read -r line; do case $line in '{\"end\":'*) continue ;; esac; " + kId;

CommandOptions shell(const std::string& script) {
  CommandOptions options;
  options.command.argv = {"/bin/sh", "-c", script};
  options.command.grace = std::chrono::seconds(20);
  options.queue = "mail";
  options.restart = {.base = milliseconds(1), .cap = milliseconds(1)};
  return options;
}

std::vector<Item> some_items(std::int64_t count, std::string_view payload = "{}") {
  std::vector<Item> items;
  for (std::int64_t id = 1; id <= count; ++id)
    items.push_back({.id = id, .source = "mail", .payload = payload});
  return items;
}

std::vector<Outcome> run(CommandHandler& handler, const std::vector<Item>& items, std::stop_token stop = {}) {
  Batch batch(items, std::move(stop));
  handler.run(batch);
  return batch.outcomes();
}

std::vector<Kind> kinds(const std::vector<Outcome>& outcomes) {
  std::vector<Kind> out;
  for (const Outcome& outcome : outcomes) out.push_back(outcome.kind());
  return out;
}

/// A folder for what the programs leave behind.
class CommandHandlerTest : public ::testing::Test {
 protected:
  CommandHandlerTest() {
    std::string name = (fs::temp_directory_path() / "weir-command-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~CommandHandlerTest() override { fs::remove_all(folder_); }

  [[nodiscard]] std::string path(const std::string& name) const { return (folder_ / name).string(); }
  [[nodiscard]] std::string text_of(const std::string& name) const {
    std::ifstream file(folder_ / name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  /// Of a program that writes the number into a file, with its line's end last.
  pid_t pid_in(const std::string& name) const {
    test::wait_until([&] { return text_of(name).ends_with('\n'); }, "a process id in " + name);
    return std::stoi(text_of(name));
  }

  /// The items of a batch of three when the program runs `end` instead of answering the second.
  std::vector<Outcome> answer_one_then(const std::string& end, Duration grace = std::chrono::seconds(20)) {
    CommandOptions options = shell(kEach + "if [ $id = 2 ]; then " + end + "; fi; " + kOk + "done");
    options.command.grace = grace;
    CommandHandler handler(options);
    return run(handler, some_items(3));
  }

  fs::path folder_;
};

bool has_ended(pid_t pid) {
  const auto process = exec::Process::find(pid);
  return !process || process->wait_end(Deadline::after(std::chrono::seconds(20)), {}) == WaitEnd::ready;
}

TEST_F(CommandHandlerTest, OneProcessAnswersBatchAfterBatch) {
  CommandHandler handler(shell("echo started >>" + path("log") + "; " + kEach + kOk + "done"));
  for (int batch = 0; batch < 3; ++batch) {
    for (const Outcome& outcome : run(handler, some_items(200)))
      EXPECT_TRUE(outcome.is_done()) << outcome.text();
  }
  EXPECT_EQ(text_of("log"), "started\n");
}

TEST_F(CommandHandlerTest, EachAnswerBecomesItsOutcome) {
  CommandHandler handler(shell(R"(while read -r line; do case $line in '{"end"'*)
    echo '{"id":3,"snooze":5}'; echo '{"id":2,"error":"no","retry_after":7}'; echo; echo '{"id":4,"discard":"never"}'
    echo '{"id":1,"ok":true,"result":[1]}'; echo '{"id":1,"error":"again"}'; echo '{"ack":"all"}';; esac; done)"));
  const auto outcomes = run(handler, some_items(5));
  EXPECT_EQ(kinds(outcomes),
            (std::vector{Kind::done, Kind::retry, Kind::snoozed, Kind::discarded, Kind::done}));
  EXPECT_EQ(outcomes[0].text(), "[1]");
  EXPECT_EQ(outcomes[1].text(), "no");
}

TEST_F(CommandHandlerTest, ACrashFailsOnlyWhatHadNoAnswer) {
  const auto outcomes = answer_one_then("echo the reason >&2; kill -KILL $$");
  EXPECT_EQ(kinds(outcomes), (std::vector{Kind::done, Kind::failed, Kind::failed}));
  EXPECT_THAT(outcomes[1].text(), HasSubstr("signal 9 (Killed)"));
  EXPECT_THAT(outcomes[1].text(), HasSubstr("the reason"));
}

TEST_F(CommandHandlerTest, AnEarlyEndWithStatusZeroIsAFailureToo) {
  const auto outcomes = answer_one_then("exit 0");
  EXPECT_EQ(kinds(outcomes), (std::vector{Kind::done, Kind::failed, Kind::failed}));
  EXPECT_THAT(outcomes[1].text(), HasSubstr("exit status 0"));
}

TEST_F(CommandHandlerTest, TheLastWordsCountAlsoWithoutALineEnd) {
  CommandHandler handler(shell(R"(read -r line; printf '{"id":1,"ok":true}')"));
  EXPECT_EQ(kinds(run(handler, some_items(2))), (std::vector{Kind::done, Kind::failed}));
}

TEST_F(CommandHandlerTest, AProgramForEachBatchIsStartedAgain) {
  CommandHandler handler(
      shell(kEach.substr(0, kEach.find("continue")) + R"(echo '{"ack":"all"}'; exit ;; esac; done)"));
  for (int batch = 0; batch < 3; ++batch) {
    EXPECT_EQ(kinds(run(handler, some_items(2))), (std::vector{Kind::done, Kind::done}));
  }
}

TEST_F(CommandHandlerTest, ACrashLoopFailsTheItemsWithTheReasonAndWaitsBetweenTheStarts) {
  std::ofstream(path("program")) << "#!/bin/sh\necho cannot >&2\nexit 7\n";
  fs::permissions(path("program"), fs::perms::owner_all);
  CommandOptions options = shell("");
  options.command.argv = {path("program")};
  options.restart = {.base = std::chrono::hours(1), .cap = std::chrono::hours(1)};
  CommandHandler handler(options);
  const auto outcomes = run(handler, some_items(1));
  EXPECT_THAT(outcomes[0].text(), HasSubstr("exit status 7; its standard error ends with:\ncannot"));
  // The second start would come in an hour, and fail: only the stop ends the wait, and the item stays open.
  fs::remove(path("program"));
  std::stop_source source;
  const std::jthread stopper([&] { source.request_stop(); });
  EXPECT_EQ(kinds(run(handler, some_items(1), source.get_token())), std::vector{Kind::open});
}

TEST_F(CommandHandlerTest, AProgramThatCannotBeStartedIsAnErrorOfTheBatch) {
  CommandOptions options = shell("");
  options.command.argv = {"/no/such/program"};
  CommandHandler handler(options);
  EXPECT_THROW(run(handler, some_items(1)), exec::StartError);
}

TEST_F(CommandHandlerTest, WhatIsNoAnswerEndsTheProgramAndIsQuoted) {
  for (const std::string& said : {std::string("debug: here"), std::string(R"(\377\376)"),
                                  std::string(R"({"id":99,"ok":true})"), std::string(R"({"ack":"al)")}) {
    const auto outcomes = answer_one_then("printf '" + said + "\\n'; sleep 1000");
    EXPECT_EQ(kinds(outcomes), (std::vector{Kind::done, Kind::failed, Kind::failed})) << said;
    EXPECT_THAT(outcomes[1].text(), HasSubstr("gave an answer of no meaning")) << said;
    EXPECT_THAT(outcomes[1].text(), HasSubstr("standard error")) << said;
  }
  EXPECT_THAT(answer_one_then("echo debug: here; sleep 1000")[1].text(), HasSubstr("debug: here"));
}

TEST_F(CommandHandlerTest, AllCannotBeAcknowledgedUnread) {
  const std::string large = "\"" + std::string(1 << 20, 'x') + "\"";
  CommandHandler handler(shell(R"(echo '{"ack":"all"}'; sleep 1000)"));
  EXPECT_EQ(kinds(run(handler, some_items(2, large))), (std::vector{Kind::failed, Kind::failed}));
}

TEST_F(CommandHandlerTest, ALineWithoutEndIsCutOff) {
  CommandOptions options = shell("read -r line; exec cat /dev/zero");
  options.longest_line = 1 << 20;
  CommandHandler handler(options);
  EXPECT_THAT(run(handler, some_items(1))[0].text(), HasSubstr("a line of more than 1.0 MiB"));
}

TEST_F(CommandHandlerTest, FloodsOnBothOutputsTakeNoMemory) {
  const auto peak = [] {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
  };
  const auto before = peak();
  CommandHandler handler(shell(kEach +
                               "head -c 50000000 /dev/zero | tr '\\000' x >&2; yes | head -c 20000000 >&2;"
                               "yes '' | head -c 20000000; " +
                               kOk + "done"));
  EXPECT_EQ(kinds(run(handler, some_items(1))), std::vector{Kind::done});
  EXPECT_LT(peak() - before, 20 * 1024);
}

TEST_F(CommandHandlerTest, AnswersPileUpWhileTheBatchIsStillWrittenWithoutADeadlock) {
  // Both directions are far larger than a pipe, and sed reads only while it can write.
  const std::string payload = "\"" + std::string(50'000, 'x') + "\"";
  CommandHandler handler(
      shell(R"x(sed -u -n 's/^{"id":"\([0-9]*\)".*"payload":\(.*\)}$/{"id":\1,"ok":true,"result":\2}/p')x"));
  for (const Outcome& outcome : run(handler, some_items(10, payload))) {
    ASSERT_TRUE(outcome.is_done()) << outcome.text();
    EXPECT_EQ(outcome.text(), payload);
  }
}

TEST_F(CommandHandlerTest, AProgramThatNeverReadsIsEndedByStop) {
  const std::string large = "\"" + std::string(1 << 20, 'x') + "\"";
  CommandHandler handler(shell("echo $$ >" + path("pid") + "; exec sleep 1000"));
  std::stop_source source;
  const std::jthread stopper([&] {
    pid_in("pid");
    source.request_stop();
  });
  EXPECT_EQ(kinds(run(handler, some_items(1, large), source.get_token())), std::vector{Kind::open});
  EXPECT_TRUE(has_ended(pid_in("pid")));
}

TEST_F(CommandHandlerTest, StopLeavesTimeForTheLastAnswer) {
  CommandHandler handler(shell(R"(trap 'echo "{\"id\":2,\"ok\":true}"; exit' TERM; echo $$ >)" + path("pid") +
                               "; while :; do sleep 0.01; done"));
  std::stop_source source;
  const std::jthread stopper([&] {
    pid_in("pid");
    source.request_stop();
  });
  EXPECT_EQ(kinds(run(handler, some_items(2), source.get_token())), (std::vector{Kind::open, Kind::done}));
}

TEST_F(CommandHandlerTest, WhoIgnoresTheStopIsKilled) {
  CommandOptions options = shell("trap '' TERM; echo $$ >" + path("pid") + "; while :; do sleep 0.01; done");
  options.command.grace = milliseconds(50);
  CommandHandler handler(options);
  std::stop_source source;
  const std::jthread stopper([&] {
    pid_in("pid");
    source.request_stop();
  });
  run(handler, some_items(1), source.get_token());
  EXPECT_TRUE(has_ended(pid_in("pid")));
}

TEST_F(CommandHandlerTest, AHangIsEndedByTheTimeout) {
  CommandOptions options = shell(kEach + kOk + "sleep 1000; done");
  std::vector<Outcome> outcomes(1);
  // On a busy machine the first answer takes its time, too.
  for (auto timeout = milliseconds(300); !outcomes[0].is_done() && timeout < std::chrono::minutes(1);
       timeout *= 4) {
    options.timeout = timeout;
    CommandHandler handler(options);
    outcomes = run(handler, some_items(2));
  }
  EXPECT_EQ(kinds(outcomes), (std::vector{Kind::done, Kind::failed}));
  EXPECT_THAT(outcomes.back().text(), HasSubstr("did not answer within "));
}

TEST_F(CommandHandlerTest, WhoClosesItsOutputIsEnded) {
  const auto outcomes = answer_one_then("exec >&-; sleep 1000", milliseconds(50));
  EXPECT_EQ(kinds(outcomes), (std::vector{Kind::done, Kind::failed, Kind::failed}));
  EXPECT_THAT(outcomes[1].text(), HasSubstr("closed its standard output"));
}

TEST_F(CommandHandlerTest, WhoClosesItsInputIsEnded) {
  const std::string large = "\"" + std::string(1 << 20, 'x') + "\"";
  CommandOptions options = shell("exec <&-; sleep 1000");
  options.command.grace = milliseconds(50);
  CommandHandler handler(options);
  EXPECT_THAT(run(handler, some_items(1, large))[0].text(), HasSubstr("closed its standard input"));
}

TEST_F(CommandHandlerTest, ChildrenThatKeepThePipesOpenHoldUpNothing) {
  const auto outcomes = answer_one_then("sleep 1000 & echo $! >" + path("pid") + "; exit 3");
  EXPECT_EQ(kinds(outcomes), (std::vector{Kind::done, Kind::failed, Kind::failed}));
  EXPECT_TRUE(has_ended(pid_in("pid")));
  // One that has left the group lives on, and is not waited for either.
  const auto others = answer_one_then("setsid sleep 1000 & echo $! >" + path("other") + "; exit 3");
  EXPECT_EQ(kinds(others), (std::vector{Kind::done, Kind::failed, Kind::failed}));
  ::kill(pid_in("other"), SIGKILL);
}

/// Of a handler's thread, which is the test's.
class Heard final : public ProgressSink {
 public:
  void report(std::int64_t item, double share, std::string_view note) override {
    said.push_back(std::to_string(item) + " " + std::to_string(share) + " " + std::string(note));
  }
  void forget(std::int64_t item) override { forgotten.push_back(item); }

  std::vector<std::string> said;
  std::vector<std::int64_t> forgotten;
};

TEST_F(CommandHandlerTest, ProgressIsHeardWhileItemsGoOnAndForgottenWithTheBatch) {
  CommandOptions options =
      shell(kEach + R"(printf '{"id":"%s","progress":0.25,"note":"a quarter"}\n' "$id"; )" + kOk + "done");
  Heard heard;
  options.progress = &heard;
  CommandHandler handler(options);
  EXPECT_EQ(kinds(run(handler, some_items(2))), (std::vector{Kind::done, Kind::done}));
  EXPECT_EQ(heard.said, (std::vector<std::string>{"1 0.250000 a quarter", "2 0.250000 a quarter"}));
  EXPECT_EQ(heard.forgotten.size(), 2U);
}

TEST_F(CommandHandlerTest, WhoToldProgressAndLeftHasSeenTheBatch) {
  CommandHandler handler(shell("echo started >>" + path("log") +
                               R"(; read -r item; read -r end; echo '{"ack":"all"}'; read -r item
                                  echo '{"id":1,"progress":0.5}')"));
  EXPECT_EQ(kinds(run(handler, some_items(1))), std::vector{Kind::done});
  EXPECT_THAT(run(handler, some_items(1))[0].text(), HasSubstr("exit status 0"));
  EXPECT_EQ(text_of("log"), "started\n");
}

TEST_F(CommandHandlerTest, OutputBetweenBatchesIsNotTakenForAnAnswer) {
  // A late answer, to an item that the next batch has again.
  const std::string wait = "while [ ! -e " + path("go") + " ]; do sleep 0.01; done; ";
  CommandHandler handler(
      shell("echo started >>" + path("log") +
            R"(; while read -r line; do case $line in '{"end":1'*) echo '{"ack":"all"}'; )" + wait +
            R"(echo '{"ack":"all"}'; echo said >)" + path("said") +
            R"(;; '{"end":2'*) echo '{"id":1,"error":"second"}';; esac; done)"));
  EXPECT_EQ(kinds(run(handler, some_items(1))), std::vector{Kind::done});
  std::ofstream(path("go")) << "go";
  test::wait_until([&] { return !text_of("said").empty(); }, "the late answer");
  EXPECT_EQ(run(handler, some_items(1))[0].text(), "second");
  EXPECT_EQ(text_of("log"), "started\nstarted\n");
}

TEST_F(CommandHandlerTest, ADeathBetweenBatchesFailsNothing) {
  CommandHandler handler(shell("echo $$ >" + path("pid") + "; " + kEach + kOk + "done"));
  EXPECT_EQ(kinds(run(handler, some_items(1))), std::vector{Kind::done});
  const pid_t pid = pid_in("pid");
  const auto process = exec::Process::find(pid);
  ASSERT_TRUE(process);
  process->signal(SIGKILL);
  ASSERT_TRUE(has_ended(pid));
  EXPECT_EQ(kinds(run(handler, some_items(1))), std::vector{Kind::done});
}

TEST_F(CommandHandlerTest, APayloadThatIsNoTextIsDiscardedAndTheOthersAreDone) {
  std::vector<Item> items = some_items(4);
  items[1].payload = std::string_view("\"\0\"", 3);
  items[2].payload = "\"\xff\"";
  CommandHandler handler(shell(kEach + kOk + "done"));
  EXPECT_EQ(kinds(run(handler, items)),
            (std::vector{Kind::done, Kind::discarded, Kind::discarded, Kind::done}));
}

TEST_F(CommandHandlerTest, AHundredMegabytesAreNotCopied) {
  const std::string large = "\"" + std::string(100 << 20, 'x') + "\"";
  const auto items = some_items(1, large);
  rusage before{};
  ::getrusage(RUSAGE_SELF, &before);
  CommandHandler counter(shell(R"(head -n 1 | wc -c >)" + path("size") + R"(; echo '{"id":1,"ok":true}')"));
  EXPECT_EQ(kinds(run(counter, items)), std::vector{Kind::done});
  rusage after{};
  ::getrusage(RUSAGE_SELF, &after);
  EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 10 * 1024);
  EXPECT_GT(std::stol(text_of("size")), 100 << 20);
}

TEST_F(CommandHandlerTest, TheEnvironmentTellsTheQueueAndNoPassword) {
  ::setenv("DATABASE_URL", "postgresql://u:secret@h/d", 1);
  ::setenv("PGPASSWORD", "secret", 1);
  CommandOptions options = shell("env >" + path("env") + "; " + kEach + kOk + "done");
  options.slot = 3;
  options.command.env["WEIR_EXTRA"] = "more";
  {
    CommandHandler handler(options);
    run(handler, some_items(1));
  }
  const std::string env = "\n" + text_of("env");
  EXPECT_THAT(env, HasSubstr("\nWEIR_QUEUE=mail\n"));
  EXPECT_THAT(env, HasSubstr("\nWEIR_SLOT=3\n"));
  EXPECT_THAT(env, HasSubstr("\nWEIR_PROTOCOL=1\n"));
  EXPECT_THAT(env, HasSubstr("\nWEIR_EXTRA=more\n"));
  EXPECT_EQ(env.find("secret"), std::string::npos);
  options.command.env["DATABASE_URL"] = "postgresql://own";
  {
    CommandHandler handler(options);
    run(handler, some_items(1));
  }
  EXPECT_THAT(text_of("env"), HasSubstr("DATABASE_URL=postgresql://own\n"));
  ::unsetenv("DATABASE_URL");
  ::unsetenv("PGPASSWORD");
}

TEST_F(CommandHandlerTest, AtTheEndTheProgramMayFinishInOrder) {
  {
    CommandHandler handler(shell(kEach + kOk + "done; echo finished >" + path("log")));
    run(handler, some_items(1));
  }
  EXPECT_EQ(text_of("log"), "finished\n");
}

/// The programs of the documentation, as they stand there.
class CommandExamples : public CommandHandlerTest {
 protected:
  static std::vector<std::string> blocks(const std::string& language) {
    fs::path root = fs::canonical("/proc/self/exe").parent_path();
    while (!fs::exists(root / "docs/command-protocol.md")) {
      if (root == root.root_path())
        throw std::runtime_error("docs/command-protocol.md is not above the test");
      root = root.parent_path();
    }
    std::ifstream file(root / "docs/command-protocol.md");
    std::vector<std::string> found;
    bool inside = false;
    for (std::string line; std::getline(file, line);) {
      if (line == "```" + language) {
        found.emplace_back();
        inside = true;
      } else if (line == "```") {
        inside = false;
      } else if (inside) {
        found.back() += line + "\n";
      }
    }
    return found;
  }
};

TEST_F(CommandExamples, Python) {
  if (!exec::find_program("python3", std::getenv("PATH"))) GTEST_SKIP() << "needs python3";
  const auto found = blocks("python");
  ASSERT_EQ(found.size(), 1U);
  CommandOptions options = shell("");
  options.command.argv = {"python3", "-c", found[0]};
  CommandHandler handler(options);
  std::vector<Item> items = some_items(3, R"({"to":"ada"})");
  items[1].payload = "{}";
  items[2].payload = "null";
  for (int batch = 0; batch < 2; ++batch) {
    const auto outcomes = run(handler, items);
    EXPECT_EQ(kinds(outcomes), (std::vector{Kind::done, Kind::discarded, Kind::retry}));
    EXPECT_EQ(outcomes[0].text(), R"({"sent": "ada"})");
    EXPECT_EQ(outcomes[1].text(), "no receiver");
  }
}

TEST_F(CommandExamples, Shell) {
  const auto found = blocks("sh");
  ASSERT_EQ(found.size(), 2U);
  std::vector<Item> items = some_items(3, R"({"to":"ada"})");
  CommandHandler shortest(shell(found[1]));
  EXPECT_EQ(kinds(run(shortest, items)), (std::vector{Kind::done, Kind::done, Kind::done}));
  items[1].payload = "{}";
  CommandHandler each(shell(found[0]));
  for (int batch = 0; batch < 2; ++batch) {
    const auto outcomes = run(each, items);
    EXPECT_EQ(kinds(outcomes), (std::vector{Kind::done, Kind::failed, Kind::done}));
    EXPECT_EQ(outcomes[1].text(), "no receiver");
  }
  EXPECT_EQ(kinds(run(shortest, items)), (std::vector{Kind::failed, Kind::failed, Kind::failed}));
}

}  // namespace
}  // namespace weir::work
