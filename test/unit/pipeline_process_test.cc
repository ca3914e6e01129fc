// Programs as tasks: what they are given, what they say, and how they end; the hostile ones, too.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include <stdlib.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "exec/process.h"
#include "pipeline/task/process_task.h"
#include "support/errors.h"
#include "support/processes.h"

namespace weir::pipeline {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using End = ProcessResult::End;

/// All lines, as "out:text"; may be waited for.
class Lines final : public LogSink {
 public:
  void append(LogStream stream, WallTime, std::string_view line) override {
    all.push_back((stream == LogStream::out ? "out:" : "err:") + std::string(line));
    if (on_line) on_line(all.back());
  }
  std::vector<std::string> all;
  std::function<void(const std::string&)> on_line;
};

class PipelineProcess : public testing::Test {
 protected:
  PipelineProcess() {
    char name[] = "/tmp/weir-process-XXXXXX";
    folder = ::mkdtemp(name);
    context.pipeline = "shop";
    context.run = 17;
    context.task = "extract";
    context.attempt = 2;
    context.logical_time = std::chrono::sys_days(std::chrono::year(2026) / 3 / 29);
    context.interval = {context.logical_time - 24h, context.logical_time};
  }
  ~PipelineProcess() override { std::filesystem::remove_all(folder); }

  ProcessTask task() { return {.body = &body, .context = &context, .project = folder, .grace = 20s}; }
  ProcessResult run(const std::string& script) {
    body.shell = script;
    return run_process(task(), log, {});
  }
  /// The pid that a program wrote into a file of the folder.
  pid_t pid_in(const std::string& name) {
    std::ifstream file(folder / name);
    pid_t pid = 0;
    file >> pid;
    return pid;
  }

  std::filesystem::path folder;
  RunBody body;
  TaskContext context;
  Lines log;
};

TEST_F(PipelineProcess, KnowsWhatItIsFor) {
  context.params = R"({"day-of":"x y","n":1.10,"none":null,"list":[1, 2]})";
  context.item = R"({"id":7})";
  const ProcessResult result = run("env | grep ^WEIR_ | grep -Ev '^WEIR_(MARK|BINARY|ROOT)=' | sort");
  EXPECT_EQ(result.end, End::success) << result.reason;
  EXPECT_THAT(log.all,
              ElementsAre("out:WEIR_ATTEMPT=2", "out:WEIR_INTERVAL_END=2026-03-29T00:00:00Z",
                          "out:WEIR_INTERVAL_START=2026-03-28T00:00:00Z", "out:WEIR_ITEM={\"id\":7}",
                          "out:WEIR_LOGICAL_TIME=2026-03-29T00:00:00Z", "out:WEIR_PARAMS=" + context.params,
                          "out:WEIR_PARAM_DAY_OF=x y", "out:WEIR_PARAM_LIST=[1, 2]", "out:WEIR_PARAM_N=1.10",
                          "out:WEIR_PIPELINE=shop", "out:WEIR_RUN=17", "out:WEIR_TASK=extract"));
}

TEST_F(PipelineProcess, ArgumentsReachItAsTheyAreWithNoShell) {
  context.params = R"({"x":"a; rm -rf $HOME `id` \"q\""})";
  body.argv = {"/usr/bin/printf", "%s|", "${param:x}", "$HOME", "$${param:x}", "*"};
  EXPECT_EQ(run_process(task(), log, {}).end, End::success);
  EXPECT_THAT(log.all, ElementsAre("out:a; rm -rf $HOME `id` \"q\"|$HOME|${param:x}|*|"));
}

TEST_F(PipelineProcess, TheDatabaseIsForThoseWhoAskForIt) {
  for (const char* const name : {"DATABASE_URL", "PGPASSWORD", "PGHOST", "PGSERVICE"})
    ::setenv(name, "secret", 1);
  ProcessTask one = task();
  one.database_url = "postgresql://given";
  body.shell = "env";
  run_process(one, log, {});
  EXPECT_THAT(log.all, Not(Contains(HasSubstr("secret"))));
  EXPECT_THAT(log.all, Not(Contains(HasSubstr("given"))));
  body.database = true;
  run_process(one, log, {});
  EXPECT_THAT(log.all, Contains("out:DATABASE_URL=postgresql://given"));
  EXPECT_THAT(log.all, Not(Contains(HasSubstr("secret"))));
  for (const char* const name : {"DATABASE_URL", "PGPASSWORD", "PGHOST", "PGSERVICE"}) ::unsetenv(name);
}

TEST_F(PipelineProcess, SecretsComeFromTheEnvironmentAndFromFiles) {
  ::setenv("WEIR_TEST_TOKEN", "t0ken", 1);
  std::ofstream(folder / "key") << "k3y\n";
  std::filesystem::create_directory(folder / "sub");
  body.env = {{"TOKEN", "${env:WEIR_TEST_TOKEN}"}, {"KEY", "<${file:key}>"}};
  body.folder = "sub";
  EXPECT_EQ(run("echo $TOKEN $KEY; basename $(pwd)").end, End::success);
  EXPECT_THAT(log.all, ElementsAre("out:t0ken <k3y>", "out:sub"));
  ::unsetenv("WEIR_TEST_TOKEN");
}

TEST_F(PipelineProcess, SaysThingsInMessages) {
  std::vector<std::pair<double, double>> progress;
  ProcessTask one = task();
  one.progress = [&](double done, std::optional<double> of) { progress.emplace_back(done, of.value_or(-1)); };
  body.shell = R"(
    echo plain
    echo '{"weir":"progress","done":1,"of":10}'
    echo '{"weir":"output","value":{"old":true}}'
    echo ' {"value": {"rows": 12345678901234567890.10} , "weir" : "output"} '
    echo '{"level":"info","msg":"no message of weir"}'
    echo '{"weir":"branch","tasks":["a","ü"]}'
    echo '{"weir":"progress","done":2}' >&2
    printf '{"weir":"progress","done":3}')";
  const ProcessResult result = run_process(one, log, {});
  EXPECT_EQ(result.end, End::success) << result.reason;
  EXPECT_EQ(result.output, R"({"rows": 12345678901234567890.10})");
  EXPECT_THAT(result.branch.value(), ElementsAre("a", "ü"));
  EXPECT_THAT(progress, ElementsAre(std::pair(1.0, 10.0), std::pair(3.0, -1.0)));
  EXPECT_THAT(log.all,
              testing::UnorderedElementsAre("out:plain", R"(out:{"level":"info","msg":"no message of weir"})",
                                            R"(err:{"weir":"progress","done":2})"));
}

TEST_F(PipelineProcess, SkipsByWordOrByExitStatus) {
  const ProcessResult word = run(R"(echo '{"weir":"skip","reason":"no new files"}')");
  EXPECT_EQ(word.end, End::skipped);
  EXPECT_EQ(word.reason, "no new files");
  body.skip_exit_code = 99;
  EXPECT_EQ(run("exit 99").end, End::skipped);
  EXPECT_EQ(run("exit 98").end, End::failed);
  const ProcessResult failed = run(R"(echo '{"weir":"skip"}'; echo '{"weir":"output","value":1}'; exit 1)");
  EXPECT_EQ(failed.end, End::failed);
  EXPECT_FALSE(failed.output);
}

TEST_F(PipelineProcess, AMessageWithoutMeaningFailsIt) {
  const std::map<std::string, std::string> faults{
      {R"({"weir":"outptu","value":1})", "did you mean output?"},
      {R"({"weir":"output"})", "needs \"value\""},
      {R"({"weir":"output","value":"\u0000"})", "the value"},
      {R"({"weir":"output","value":1,"x":2})", "\"x\" is not known"},
      {R"({"weir":"branch","tasks":"a"})", "list of names"},
      {R"({"weir":"branch","tasks":[1]})", "has to be a string"},
      {R"({"weir":"progress","done":"1"})", "has to be a number"},
      {R"({"weir":7})", "has to be a string"}};
  for (const auto& [message, fault] : faults) {
    const ProcessResult result = run("cat <<'END'\n" + message + "\nEND\n");
    EXPECT_EQ(result.end, End::failed) << message;
    EXPECT_THAT(result.reason, HasSubstr(fault));
  }
  // It was well meant, and is not one.
  EXPECT_EQ(run(R"(echo '{"weir":"output","value":')").end, End::success);
}

TEST_F(PipelineProcess, AMessageThatIsTooLongIsNotLostInSilence) {
  ProcessTask one = task();
  one.longest_message = 100;
  body.shell = R"(printf '{"weir":"output","value":"%0200d"}\n' 7)";
  const ProcessResult result = run_process(one, log, {});
  EXPECT_EQ(result.end, End::failed);
  EXPECT_THAT(result.reason, HasSubstr("longer than 100 B"));
}

TEST_F(PipelineProcess, FailsWithItsLastWords) {
  const ProcessResult result = run("echo fine; echo 'no such table' >&2; exit 3");
  EXPECT_EQ(result.end, End::failed);
  EXPECT_EQ(result.exit_status, 3);
  EXPECT_EQ(result.reason, "exit status 3; its standard error ends with:\nno such table");
  const ProcessResult killed = run("kill -SEGV $$");
  EXPECT_FALSE(killed.exit_status);
  EXPECT_THAT(killed.reason, HasSubstr("signal 11"));
  // A failure in the middle is one.
  EXPECT_EQ(run("false; echo done").end, End::failed);
}

TEST_F(PipelineProcess, WhatCannotStartIsAnError) {
  body.argv = {"/no/such/program"};
  EXPECT_THAT(test::error_of([&] { run_process(task(), log, {}); }).what(), HasSubstr("/no/such/program"));
  body.argv = {"/bin/true", "${param:gone}"};
  EXPECT_THAT(test::error_of([&] { run_process(task(), log, {}); }).what(), HasSubstr("'gone'"));
}

TEST_F(PipelineProcess, WhatIsTooLongForAProgramIsNamed) {
  context.item = '"' + std::string(130 * 1024, 'x') + '"';
  EXPECT_THAT(test::error_of([&] { run("true"); }).what(), HasSubstr("WEIR_ITEM has 130"));
  context.item = '"' + std::string(127 * 1024, 'x') + '"';
  EXPECT_EQ(run("true").end, End::success);
}

TEST_F(PipelineProcess, TellsWhatItTook) {
  const ProcessResult result = run("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done");
  EXPECT_EQ(result.end, End::success);
  EXPECT_GT(result.usage.user + result.usage.system, 1ms);
  EXPECT_LT(result.usage.user, 60s);
  EXPECT_GT(result.usage.max_rss_bytes, 100 * 1024);
}

TEST_F(PipelineProcess, ATimeoutEndsTheWholeGroup) {
  ProcessTask one = task();
  one.timeout = 200ms;
  body.shell = "sleep 1000 & echo $! > child; wait";
  const ProcessResult result = run_process(one, log, {});
  EXPECT_EQ(result.end, End::timed_out);
  EXPECT_THAT(result.reason, HasSubstr("did not end within 200 ms: signal 15"));
  EXPECT_TRUE(test::gone(pid_in("child")));
}

TEST_F(PipelineProcess, OneThatIgnoresTermIsKilledAfterTheGrace) {
  ProcessTask one = task();
  one.grace = 100ms;
  body.shell =
      "trap '' TERM; (trap '' TERM; sleep 1000 & echo $! > child; wait) & echo ready; while :; do sleep "
      "1000; done";
  std::stop_source stop;
  log.on_line = [&](const std::string&) { stop.request_stop(); };
  const ProcessResult result = run_process(one, log, stop.get_token());
  EXPECT_EQ(result.end, End::stopped);
  EXPECT_THAT(result.reason, HasSubstr("signal 9"));
  EXPECT_TRUE(test::gone(pid_in("child")));
}

TEST_F(PipelineProcess, IsNotStartedAfterAStop) {
  std::stop_source stop;
  stop.request_stop();
  body.shell = "touch started";
  EXPECT_EQ(run_process(task(), log, stop.get_token()).end, End::stopped);
  EXPECT_FALSE(std::filesystem::exists(folder / "started"));
}

TEST_F(PipelineProcess, TheGraceIsForItToEndInOrder) {
  std::stop_source stop;
  log.on_line = [&](const std::string&) { stop.request_stop(); };
  body.shell = "trap 'echo bye; exit 7' TERM; echo ready; while :; do :; done";
  const ProcessResult result = run_process(task(), log, stop.get_token());
  EXPECT_EQ(result.end, End::stopped);
  EXPECT_EQ(result.exit_status, 7);
  EXPECT_THAT(log.all, ElementsAre("out:ready", "out:bye"));
}

TEST_F(PipelineProcess, ADaemonThatHoldsTheOutputDoesNotOutliveIt) {
  const ProcessResult result =
      run("setsid sh -c 'echo $$ > daemon; echo up; sleep 1000' & while [ ! -s daemon ]; do :; done; exit 0");
  EXPECT_EQ(result.end, End::success);
  EXPECT_GE(result.strays, 1);
  EXPECT_TRUE(test::gone(pid_in("daemon")));
}

TEST_F(PipelineProcess, ADaemonInHidingDoesNotOutliveATimeout) {
  ProcessTask one = task();
  body.shell = "(setsid sh -c 'echo $$ > daemon; exec sleep 1000' </dev/null >/dev/null 2>&1 &); sleep 1000";
  ProcessResult result;
  // On a busy machine it takes its time to hide.
  for (auto timeout = 300ms; timeout < 1min && pid_in("daemon") == 0; timeout *= 2) {
    one.timeout = timeout;
    result = run_process(one, log, {});
    EXPECT_EQ(result.end, End::timed_out);
  }
  ASSERT_NE(pid_in("daemon"), 0);
  // Those of the group may still be on their way out.
  EXPECT_GE(result.strays, 1);
  EXPECT_TRUE(test::gone(pid_in("daemon")));
}

TEST_F(PipelineProcess, ClosingItsOutputEarlyIsItsOwnAffair) {
  const ProcessResult result =
      run("echo before; exec >&- 2>&-; i=0; while [ $i -lt 1000 ]; do i=$((i+1)); done; exit 4");
  EXPECT_EQ(result.end, End::failed);
  EXPECT_EQ(result.exit_status, 4);
  EXPECT_THAT(log.all, ElementsAre("out:before"));
}

TEST_F(PipelineProcess, AnEndlessFloodIsStoppedInTime) {
  ProcessTask one = task();
  body.shell = "yes flood & yes flood >&2";
  // On a busy machine it takes its time to begin.
  bool was_flood = false;
  for (auto timeout = 500ms; timeout < 1min && !was_flood; timeout *= 2) {
    TaskLog bounded({.head_bytes = 10'000, .tail_bytes = 20'000});
    one.timeout = timeout;
    EXPECT_EQ(run_process(one, bounded, {}).end, End::timed_out);
    was_flood = bounded.counts().lines_left_out > 1000;
    EXPECT_LT(bounded.take_head().size() + bounded.tail_after().size(), 1000U);
  }
  EXPECT_TRUE(was_flood);
}

/// Takes longer for a line than its program.
class SlowLog final : public LogSink {
 public:
  void append(LogStream /*stream*/, WallTime /*at*/, std::string_view /*text*/) override {
    if (++lines_ > 5000) throw std::runtime_error("it goes on for ever");
    Wakeup unused;
    wait_fd(-1, 0, Deadline::after(1ms), {}, unused);
  }

 private:
  int lines_ = 0;
};

TEST_F(PipelineProcess, AFloodThatIsReadSlowlyIsStoppedInTimeToo) {
  SlowLog slow;
  ProcessTask one = task();
  one.timeout = 100ms;
  // Lines of a kilobyte: some are always waiting, and what is left at the end is soon read.
  body.shell = "yes $(printf '%01000d' 7)";
  EXPECT_EQ(run_process(one, slow, {}).end, End::timed_out);
}

TEST_F(PipelineProcess, ALineOf100MegabytesTakesLittleMemory) {
  for (const char* const begin : {"", "{ \"weir\": \"output\", \"value\": \""}) {
    Lines lines;
    body.shell = std::string("printf '%s' '") + begin +
                 "'; head -c 100000000 /dev/zero | tr '\\0' x; echo; echo after";
    const ProcessResult result = run_process(task(), lines, {});
    EXPECT_EQ(result.end, *begin == '\0' ? End::success : End::failed) << result.reason;
    ASSERT_EQ(lines.all.size(), 2U);
    EXPECT_LT(lines.all[0].size(), 20'000U);
    EXPECT_THAT(lines.all[0], HasSubstr("bytes of this line left out"));
    EXPECT_EQ(lines.all[1], "out:after");
  }
}

TEST_F(PipelineProcess, BytesThatAreNoTextAreReplaced) {
  run(R"(printf 'a\377b\000c\r\n\303'; printf 'x\n')");
  EXPECT_THAT(log.all, ElementsAre("out:a\uFFFDb\uFFFDc", "out:\uFFFDx"));
}

}  // namespace
}  // namespace weir::pipeline
