// Runs of pipelines from the command line: what is said to whoever looks at them and repairs them.

#include <csignal>

#include <gtest/gtest.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "cli_pipeline_fixture.h"
#include "exec/process.h"
#include "support/processes.h"
#include "support/waiting.h"

namespace weir::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST_F(CliPipelines, RunsAreListedAndShown) {
  deploy();
  const WeirResult none = weir({"runs"});
  EXPECT_EQ(none.status, 0);
  EXPECT_EQ(none.out, "");
  EXPECT_EQ(none.err, "weir: there are no such runs\n");
  put("pipelines/shop/broken", "");
  const std::string bad = make_run();
  EXPECT_EQ(work(), 1);
  const std::string waiting = make_run();
  const json runs = document({"runs"}).at("runs");
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[0].at("state"), "running");
  EXPECT_EQ(runs[1].at("state"), "failed");
  EXPECT_EQ(document({"runs", "shop", "-s", "failed"}).at("runs").size(), 1U);
  EXPECT_EQ(document({"runs", "-n", "1"}).at("runs").size(), 1U);
  const WeirResult table = weir({"runs"});
  EXPECT_THAT(table.out, StartsWith("RUN  PIPELINE  FOR "));
  const WeirResult one = weir({"runs", bad});
  EXPECT_THAT(one.out, StartsWith("run 1 of shop (version 1, manual) for "));
  EXPECT_THAT(one.out, HasSubstr("\ntake  failed "));
  EXPECT_THAT(one.out, HasSubstr("exit status 1"));
  const json shown = document({"runs", bad});
  EXPECT_EQ(shown.at("params").dump(), R"({"country":"de","limit":3})");
  EXPECT_EQ(shown.at("tasks")[1].at("state"), "upstream_failed");
  EXPECT_TRUE(shown.at("tasks")[0].at("progress").is_null());
  expect_refused({"runs", "99"}, 2, "there is no run 99",
                 "weir runs lists them; what is older than the project's history is gone.");
  expect_refused({"runs", "shp"}, 2, "there is no pipeline 'shp'", "Did you mean 'shop'?");
  expect_refused({"runs", "-s", "faild"}, 2, "'faild' is no state of a run", "Did you mean 'failed'?");
  expect_refused({"runs", "a", "b"}, 2, "one pipeline, or one run", "Write: weir runs [PIPELINE|RUN]");
}

TEST_F(CliPipelines, WhyIsExplained) {
  deploy();
  const std::string run = make_run();
  EXPECT_EQ(weir({"explain", run + "/keep"}).out,
            "task keep of run 1: waiting\n  it comes after take, which is ready\n"
            "  0 of 1 tasks before it have ended (rule all_success)\n");
  EXPECT_EQ(weir({"explain", run + "/take"}).out,
            "task take of run 1: ready\n  nobody works on pipelines just now: weir up, or weir worker\n");
  EXPECT_THAT(weir({"explain", run}).out, StartsWith("run 1 of shop: running\n"));
  const std::string next = make_run();
  EXPECT_THAT(weir({"explain", next}).out, HasSubstr("1 of 1 runs of shop at a time (max_active_runs)"));
  EXPECT_EQ(document({"explain", run}).at("state"), "running");
  expect_refused({"explain"}, 2, "which run, or task of it?", "Write: weir explain RUN[/TASK]");
  expect_refused({"explain", "shop"}, 2, "'shop' is no run",
                 "Write its number, or RUN/TASK, such as 42/load. weir runs lists them.");
  expect_refused({"explain", run + "/kep"}, 2, "run 1 has no task 'kep'", "Did you mean 'keep'?");
  expect_refused({"explain", run + "/keep/3"}, 2, "task keep of run 1 has no piece 3",
                 "weir runs 1 lists what there is.");
  expect_refused({"explain", "7"}, 2, "there is no run 7",
                 "weir runs lists them; what is older than the project's history is gone.");
}

TEST_F(CliPipelines, LogsAreShownAttemptByAttemptAndFollowed) {
  deploy(
      "tasks:\n"
      "  a:\n"
      "    retry: {attempts: 2, delay: 1ms}\n"
      "    shell: |\n"
      "      echo try $WEIR_ATTEMPT; echo warned >&2\n"
      "      echo '{\"weir\":\"progress\",\"done\":3,\"of\":12}'\n"
      "      test $WEIR_ATTEMPT = 2\n"
      "      touch ready; until test -e go; do sleep 0.01; done\n");
  const std::string run = make_run();
  const WeirResult nothing = weir({"logs", run});
  EXPECT_EQ(nothing.status, 0);
  EXPECT_EQ(nothing.err, "weir: nothing was said\n");
  WeirProgram worker({"worker", "--once"}, setup());
  WeirProgram follower({"logs", run, "-f"}, setup());
  follower.wait_for("try 1");
  follower.wait_for("try 2");
  follower.wait_for_error("a 3 of 12 (25 %)");
  EXPECT_THAT(weir({"runs", run}).out, HasSubstr("3 of 12 (25 %)"));
  EXPECT_EQ(document({"runs", run}).at("tasks")[0].at("progress").dump(), R"({"done":3,"of":12})");
  put("pipelines/shop/go", "");
  EXPECT_EQ(follower.wait_end(), 0);
  EXPECT_EQ(worker.wait_end(), 0) << worker.err();
  const WeirResult all = weir({"logs", run + "/a"});
  EXPECT_THAT(all.out, AllOf(HasSubstr("Z a try 1\n"), HasSubstr("Z a [err] warned\n"),
                             HasSubstr("Z a try 2\n"), HasSubstr("Z a [weir] exit status 1")));
  EXPECT_EQ(all.out, follower.out());
  EXPECT_THAT(weir({"logs", run, "--attempt", "2"}).out, AllOf(HasSubstr("try 2"), Not(HasSubstr("try 1"))));
  const WeirResult lines = weir({"logs", run, "--json"});
  EXPECT_EQ(json::parse(lines.out.substr(0, lines.out.find('\n'))).at("line"), "try 1");
  expect_refused({"logs"}, 2, "the log of which run, or task?", "Write: weir logs RUN[/TASK[/ITEM]]");
  expect_refused({"logs", "99"}, 2, "there is no run 99",
                 "weir runs lists them; what is older than the project's history is gone.");
}

TEST_F(CliPipelines, WhatTasksHaveStartedDiesWithAWorkerThatIsKilled) {
  const auto script = [&](const std::string& name) {
    const std::string file = (folder_.path() / name).string();
    return fmt::format("sleep 1000 & echo $! >{0}.new; mv {0}.new {0}; wait", file);
  };
  deploy(
      fmt::format("tasks:\n"
                  "  a: {{shell: '{}'}}\n"
                  "  b: {{load: {{command: [sh, -c, '{}'], into: never}}}}\n",
                  script("ran"), script("loaded")));
  static_cast<void>(make_run());
  WeirProgram worker({"worker", "--slots", "2"}, setup());
  std::vector<pid_t> started;
  for (const char* name : {"ran", "loaded"}) {
    wait_until([&] { return fs::exists(folder_.path() / name); }, name);
    std::ifstream(folder_.path() / name) >> started.emplace_back();
    ASSERT_TRUE(started.back() > 1 && exec::Process::find(started.back())) << name;
  }
  worker.signal(SIGKILL);
  EXPECT_EQ(worker.wait_end(), -SIGKILL);
  for (const pid_t pid : started) EXPECT_TRUE(gone(pid)) << describe_process(pid);
}

TEST_F(CliPipelines, WhatFailedIsBegunAgain) {
  deploy();
  put("pipelines/shop/broken", "");
  const std::string run = make_run();
  EXPECT_EQ(work(), 1);
  fs::remove(folder_.path() / "pipelines/shop/broken");
  const WeirResult again = weir({"retry", run});
  EXPECT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(again.out, "run 1: 2 tasks begin again\n");
  EXPECT_EQ(again.err, "weir: nobody works on pipelines just now: weir up, or weir worker\n");
  EXPECT_EQ(work(), 0);
  EXPECT_EQ(document({"runs", run}).at("state"), "success");
  expect_refused({"retry", run}, 5, "nothing of run 1 has failed",
                 "Name the task to begin with: weir retry 1/TASK");
  EXPECT_EQ(weir({"retry", run + "/keep", "-q"}).out, "run 1: 1 task begins again\n");
  EXPECT_EQ(work(), 0);
  EXPECT_EQ(weir({"clear", run, "-q"}).out, "run 1: 2 tasks begin again\n");
  EXPECT_EQ(work(), 0);
  EXPECT_EQ(value("SELECT count(*) FROM kept"), "3");
  EXPECT_EQ(document({"clear", run + "/keep"}).at("tasks"), 1);
  expect_refused({"retry"}, 2, "which run?", "Write: weir retry RUN[/TASK]");
  expect_refused({"retry", "x"}, 2, "'x' is no run",
                 "Write its number, or RUN/TASK, such as 42/load. weir runs lists them.");
  expect_refused({"clear", "9"}, 2, "there is no run 9",
                 "weir runs lists them; what is older than the project's history is gone.");
  expect_refused({"clear", run + "/kep"}, 2, "run 1 has no task 'kep'", "Did you mean 'keep'?");
}

TEST_F(CliPipelines, WhatIsBegunAgainWaitsForItsTurn) {
  deploy();
  put("pipelines/shop/broken", "");
  const std::string run = make_run();
  EXPECT_EQ(work(), 1);
  fs::remove(folder_.path() / "pipelines/shop/broken");
  const std::string other = make_run();
  const WeirResult again = weir({"retry", run});
  EXPECT_EQ(again.out, "run 1: 2 tasks begin again when it has its turn\n");
  EXPECT_THAT(again.err, HasSubstr("why not now: weir explain 1"));
  EXPECT_TRUE(document({"clear", run + "/keep"}).at("queued"));
  EXPECT_EQ(document({"runs", run}).at("state"), "queued");
  EXPECT_THAT(weir({"explain", run}).out,
              AllOf(HasSubstr("it was begun again, and waits for its turn"),
                    HasSubstr("1 of 1 runs of shop at a time (max_active_runs)")));
  EXPECT_EQ(work(), 0);
  EXPECT_EQ(document({"runs", run}).at("state"), "success");
  EXPECT_EQ(document({"runs", other}).at("state"), "success");
}

TEST_F(CliPipelines, ATaskThatRunsIsNotBegunAgain) {
  deploy("tasks: {a: {shell: 'until test -e go; do sleep 0.01; done'}}\n");
  const std::string run = make_run();
  WeirProgram worker({"worker", "--once"}, setup());
  wait_until([&] { return value("SELECT state FROM weir.task WHERE pool_id IS NOT NULL") == "running"; },
             "the task to run");
  expect_refused({"clear", run}, 5, "task a of run 1 is running",
                 "Cancel the run first, or wait for its end.");
  // Meanwhile it is marked: what it does is not waited for.
  EXPECT_EQ(weir({"mark", run + "/a", "success", "-q"}).out,
            "run 1: a is marked success; no task comes after it\n");
  EXPECT_EQ(worker.wait_end(), 0) << worker.err();
  EXPECT_EQ(document({"runs", run}).at("state"), "success");
}

TEST_F(CliPipelines, AMarkSaysWhatBecomesOfTheRest) {
  deploy();
  const std::string run = make_run();
  EXPECT_EQ(weir({"mark", run + "/take", "skipped", "-q"}).out,
            "run 1: take is marked skipped; 1 task after it is decided anew\n");
  EXPECT_EQ(document({"runs", run}).at("tasks")[1].at("state"), "skipped");
  expect_refused({"mark", run, "success"}, 2, "which task of run 1?",
                 "Write: weir mark 1/TASK success|failed|skipped");
  expect_refused({"mark", run + "/take"}, 2, "a mark needs a task and what became of it",
                 "Write: weir mark RUN/TASK success|failed|skipped");
  expect_refused({"mark", run + "/take", "done"}, 2, "'done' is nothing that becomes of a task",
                 "success, failed or skipped");
  expect_refused({"mark", run + "/take", "sucess"}, 2, "'sucess' is nothing that becomes of a task",
                 "Did you mean 'success'?");
}

TEST_F(CliPipelines, ARunIsCancelled) {
  deploy();
  const std::string run = make_run();
  const std::string queued = make_run();
  EXPECT_EQ(weir({"cancel", queued}).out, "run 2: cancelled\n");
  EXPECT_EQ(weir({"cancel", run}).status, 0);
  EXPECT_EQ(document({"runs", run}).at("state"), "cancelled");
  expect_refused({"cancel", run}, 5, "run 1 has ended already: cancelled",
                 "weir retry 1 begins again what failed of it, weir clear 1 all of it.");
  expect_refused({"cancel", run + "/take"}, 2, "a whole run is cancelled, not one of its tasks",
                 "Write: weir cancel 1, or weir mark 1/take failed");
  expect_refused({"cancel"}, 2, "which run?", "Write: weir cancel RUN");
  expect_refused({"cancel", "77"}, 2, "there is no run 77",
                 "weir runs lists them; what is older than the project's history is gone.");
}

TEST_F(CliPipelines, APausedPipelineStartsRunsByHandAlone) {
  deploy();
  EXPECT_EQ(weir({"pause", "shop"}).out, "shop is paused: only runs by hand are started\n");
  EXPECT_EQ(document({"pause", "shop"}).dump(), R"({"changed":false,"paused":true,"pipeline":"shop"})");
  EXPECT_EQ(weir({"backfill", "shop", "--from", "2026-01-01", "--to", "2026-01-03", "--yes", "-q"}).status,
            0);
  EXPECT_EQ(value("SELECT count(*) FROM weir.run WHERE state = 'running'"), "0");
  EXPECT_THAT(weir({"explain", "1"}).out, HasSubstr("shop is paused: weir resume shop"));
  EXPECT_EQ(weir({"resume", "shop"}).out, "shop goes on\n");
  EXPECT_EQ(value("SELECT count(*) FROM weir.run WHERE state = 'running'"), "1");
  expect_refused({"pause"}, 2, "which pipeline?", "Write: weir pause PIPELINE");
  expect_refused({"resume", "shp"}, 2, "there is no pipeline 'shp'", "Did you mean 'shop'?");
}

}  // namespace
}  // namespace weir::test
