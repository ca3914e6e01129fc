// Pipelines from the command line: what is said to whoever writes, deploys and runs them.
#include <csignal>
#include <sstream>

#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "cli_pipeline_fixture.h"

namespace weir::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Words = std::vector<std::string>;

TEST_F(CliPipelines, APlanSaysWhatADeploymentDoes) {
  const WeirResult plan = weir({"plan"});
  EXPECT_EQ(plan.status, 0) << plan.err;
  EXPECT_EQ(plan.out, "shop added\npool narrow added: 1 slot\n");
  EXPECT_EQ(plan.err, "weir: nothing was changed; weir deploy does it\n");
  EXPECT_EQ(value("SELECT count(*) FROM weir.pipeline"), "0");
  EXPECT_EQ(weir({"deploy"}).out, "shop added (version 1)\npool narrow added: 1 slot\n");
  EXPECT_EQ(weir({"deploy"}).out, "1 unchanged\n");
  put("pipelines/shop/pipeline.yml",
      std::string(kShop) + "  sum: {after: keep, sql: select 1}\nmax_active_runs: 2\n");
  EXPECT_EQ(weir({"plan"}).out,
            "shop changed (version 1)\n  max_active_runs: default > 2\n  task sum added\n");
  EXPECT_EQ(document({"deploy"}).at("pipelines")[0].at("version"), 2);
  fs::remove_all(folder_.path() / "pipelines/shop");
  EXPECT_EQ(weir({"plan"}).out, "shop removed (version 2)\n");
}

TEST_F(CliPipelines, APlanSaysWhatBecomesOfPoolsAndHistory) {
  deploy();
  put("weir.yml", "name: demo\npools: {narrow: 2, new: 1, free: {}}\nhistory: 60d\n");
  const std::string changes =
      "1 unchanged\npool narrow changed: 1 slot > 2 slots\npool new added: 1 slot\npool free added: no "
      "limit\n"
      "history changed: 30d > 60d\n";
  const WeirResult plan = weir({"plan"});
  EXPECT_EQ(plan.out, changes);
  EXPECT_EQ(plan.err, "weir: nothing was changed; weir deploy does it\n");
  const json planned = document({"plan"});
  EXPECT_EQ(planned.at("pools").at(0).dump(), R"({"after":2,"before":1,"change":"changed","pool":"narrow"})");
  EXPECT_EQ(planned.at("history").dump(),
            R"({"after_days":60,"before_days":30,"drops_runs":0,"refrained":false})");
  EXPECT_EQ(weir({"deploy"}).out, changes);
  put("weir.yml", "name: demo\npools: {new: 1}\nhistory: 60d\n");
  EXPECT_EQ(
      weir({"plan"}).out,
      "1 unchanged\npool narrow is not in weir.yml, and keeps its 2 slots (narrow: {} there takes the limit "
      "away)\n");
  EXPECT_EQ(weir({"deploy"}).status, 0);
  put("weir.yml", "name: demo\npools: {new: 1, narrow: {}}\nhistory: 60d\n");
  EXPECT_EQ(weir({"deploy"}).out, "1 unchanged\npool narrow changed: 2 slots > no limit\n");
  EXPECT_EQ(weir({"deploy"}).out, "1 unchanged\n");
}

TEST_F(CliPipelines, AShorterHistoryDropsRunsOnlyWhenToldTo) {
  deploy();
  session().execute_script(
      "CREATE TABLE weir.run_done_old PARTITION OF weir.run_done FOR VALUES FROM ('2020-01-01') TO "
      "('2020-01-02');"
      "UPDATE weir.run_history SET keep_days = 3650");
  ASSERT_EQ(make_run(), "1");
  EXPECT_EQ(work(), 0);
  session().execute(
      "INSERT INTO weir.run_done SELECT (jsonb_populate_record(d, '{\"id\": 99, \"ended_at\": "
      "\"2020-01-01T12:00:00Z\"}')).* FROM weir.run_done d");
  put("weir.yml", "name: demo\npools: {narrow: 1}\nhistory: 1d\n");
  EXPECT_EQ(weir({"plan"}).out, "1 unchanged\nhistory changed: 3650d > 1d, which drops 1 run\n");
  expect_refused({"deploy"}, 5, "a history of 1 days instead of 3650 drops 1 run",
                 "weir deploy --yes does it.");
  EXPECT_EQ(value("SELECT keep_days FROM weir.run_history"), "3650");
  WeirProgram up({"up"}, setup());
  up.wait_for("history stays 3650d: 1d was said, which drops 1 run; weir deploy --yes does it");
  up.signal(SIGTERM);
  EXPECT_EQ(up.wait_end(), 0) << up.err();
  EXPECT_EQ(value("SELECT keep_days FROM weir.run_history"), "3650");
  EXPECT_THAT(weir({"deploy", "--yes"}).out, HasSubstr("history changed: 3650d > 1d, which drops 1 run\n"));
  EXPECT_EQ(value("SELECT keep_days FROM weir.run_history"), "1");
}

TEST_F(CliPipelines, SlotsThatTheServerCouldNeverGrantAreRefusedWithTheArithmetic) {
  for (const Words& words : {Words{"up", "--slots", "1000"}, Words{"worker", "--once", "--slots", "1000"}}) {
    const WeirResult result = weir(words);
    EXPECT_EQ(result.status, 5) << words.front() << ": " << result.err;
    EXPECT_THAT(result.err, HasSubstr("the connection budget does not fit: poll 2 + recovery 2 + listen 1 + "
                                      "task 1000 = 1005 sessions x 1 process = 1005, but the server leaves "
                                      "97 (max_connections 100 - reserved 3 = 97)"))
        << words.front();
  }
  EXPECT_EQ(value("SELECT count(*) FROM weir.process"), "0") << "nobody registered";
}

TEST_F(CliPipelines, ARunByHandHasTheIntervalUpToItself) {
  put("pipelines/shop/models/seen.sql",
      "/* weir\nmaterialized: incremental\nstrategy: window\nwindow: at\n*/\n"
      "select weir.interval_end() - interval '1 microsecond' as at");
  deploy("schedule: {cron: '0 6 * * *'}\ntasks: {}\n");
  const std::string run = make_run();
  EXPECT_EQ(work(), 0) << weir({"runs", run}).out;
  const json shown = document({"runs", run});
  EXPECT_EQ(shown.at("interval_end"), shown.at("logical_at"));
  EXPECT_THAT(shown.at("interval_start").get<std::string>(), HasSubstr("T06:00:00Z"));
  EXPECT_EQ(value("SELECT count(*) FROM seen"), "1");
}

TEST_F(CliPipelines, WhatATaskPutOutAndUsedIsShownAndRead) {
  session().execute("CREATE TABLE got (n int, all_of jsonb)");
  deploy(
      "tasks:\n"
      "  a: {shell: \"echo '{\\\"weir\\\":\\\"output\\\",\\\"value\\\":{\\\"rows\\\":12}}'\"}\n"
      "  m: {map: [1, 2], run: [echo, '{\"weir\":\"output\",\"value\":[${item}]}']}\n"
      "  b: {after: [a, m], sql: \"insert into got values ((weir.output('a') ->> 'rows')::int, "
      "weir.output('m'))\"}\n"
      "  c: {after: b, sql: \"select weir.output('nobody')\"}\n");
  const std::string run = make_run();
  EXPECT_EQ(work(), 1);
  EXPECT_EQ(value("SELECT n || ' ' || all_of FROM got"), "12 [[1], [2]]");
  const json tasks = document({"runs", run}).at("tasks");
  EXPECT_EQ(tasks.at(0).at("output").dump(), R"({"rows":12})");
  EXPECT_GT(tasks.at(0).at("usage").at("max_rss_bytes").get<std::int64_t>(), 0);
  EXPECT_TRUE(tasks.back().at("output").is_null());
  EXPECT_TRUE(tasks.back().at("usage").is_null());
  EXPECT_THAT(tasks.back().at("error").get<std::string>(),
              AllOf(HasSubstr("the run has no task 'nobody'"), HasSubstr("It has: a, m, b, c")));
  EXPECT_THAT(weir({"runs", run}).out, HasSubstr(R"({"rows": 12})"));
}

TEST_F(CliPipelines, WhatALongLogLeavesOutIsTold) {
  deploy("tasks: {a: {shell: 'seq 1 200000'}}\n");
  const std::string run = make_run();
  EXPECT_EQ(work(), 0);
  std::int64_t told = 0;
  std::int64_t shown = 0;
  std::istringstream lines(weir({"logs", run, "--json"}).out);
  for (std::string text; std::getline(lines, text);) {
    const json line = json::parse(text);
    const std::string said = line.at("line");
    if (line.at("stream") == "out") {
      ++shown;
      EXPECT_EQ(said, std::to_string(line.at("number").get<std::int64_t>()));
      continue;
    }
    ASSERT_EQ(told, 0) << text;
    EXPECT_THAT(said, ::testing::MatchesRegex("[0-9,]+ lines, [0-9.]+ [KM]iB, left out here"));
    std::string digits = said.substr(0, said.find(' '));
    std::erase(digits, ',');
    told = std::stoll(digits);
    EXPECT_EQ(line.at("number").get<std::int64_t>(), shown + told) << "it stands where they were";
  }
  EXPECT_EQ(shown + told, 200'000);
}

TEST_F(CliPipelines, ADeploymentWithMistakesChangesNothing) {
  put("pipelines/shop/pipeline.yml", "tasks: {a: {sqll: x}}\n");
  for (const char* const command : {"plan", "deploy", "up"}) {
    const WeirResult result = weir({command});
    EXPECT_EQ(result.status, 3) << command;
    EXPECT_THAT(result.err,
                AllOf(HasSubstr("pipelines/shop/pipeline.yml:1:13: error: a task has no key 'sqll'\n    1 | "
                                "tasks: {a: {sqll: x}}\n"),
                      HasSubstr("Did you mean 'sql'?"), HasSubstr("weir: 2 mistakes in the project\n")));
  }
  EXPECT_EQ(weir({"plan", "-q"}).err, "weir: 2 mistakes in the project\n  weir check lists them.\n");
  EXPECT_EQ(value("SELECT count(*) FROM weir.pipeline"), "0");
  fs::remove(folder_.path() / "weir.yml");
  const WeirResult none = weir({"deploy"});
  EXPECT_EQ(none.status, 2);
  EXPECT_THAT(none.err, HasSubstr("there is no weir.yml in"));
}

TEST_F(CliPipelines, ANameIsOnePipelineInADatabase) {
  deploy();
  put("weir.yml", "name: other\n");
  expect_refused({"deploy"}, 5, "pipeline shop belongs to the project demo",
                 "Rename one of them: a name stands for one pipeline in a database.");
}

TEST_F(CliPipelines, ARunIsWaitedForAndSaysHowItEnded) {
  deploy();
  WeirProgram worker({"worker"}, setup());
  worker.wait_for_error("working on pipelines of demo");
  const WeirResult good = weir({"run", "shop", "--wait", "-q"});
  EXPECT_EQ(good.status, 0) << good.err;
  EXPECT_EQ(good.out, "run 1 of shop has started\nrun 1: success\n");
  EXPECT_EQ(weir({"run", "shop", "--wait", "-p", "country=fr", "--json"}).status, 0);
  EXPECT_EQ(value("SELECT string_agg(country, ',' ORDER BY run) FROM kept"), "de,fr");
  put("pipelines/shop/broken", "");
  const WeirResult bad = weir({"run", "shop", "-w"});
  EXPECT_EQ(bad.status, 1);
  EXPECT_THAT(bad.out, HasSubstr("run 3: failed\n"));
  EXPECT_THAT(bad.err, HasSubstr("weir runs 3"));
  EXPECT_EQ(document({"run", "shop", "-w"}).at("state"), "failed");
  worker.signal(SIGTERM);
  EXPECT_EQ(worker.wait_end(), 0) << worker.err();
}

TEST_F(CliPipelines, WhoStopsWaitingLeavesTheRun) {
  deploy();
  WeirProgram waiting({"run", "shop", "--wait"}, setup());
  waiting.wait_for("run 1 of shop has started");
  waiting.wait_for_error("nobody works on pipelines just now");
  waiting.signal(SIGINT);
  EXPECT_EQ(waiting.wait_end(), 130);
  EXPECT_EQ(value("SELECT state FROM weir.run"), "running");
}

TEST_F(CliPipelines, ARunThatCannotBeSaysWhy) {
  expect_refused({"run", "shop"}, 2, "there is no pipeline 'shop'", "None is deployed yet: weir deploy");
  deploy();
  expect_refused({"run", "shp"}, 2, "there is no pipeline 'shp'", "Did you mean 'shop'?");
  expect_refused({"run", "rates"}, 2, "there is no pipeline 'rates'", "There are: shop");
  expect_refused({"run"}, 2, "which pipeline?", "Write: weir run PIPELINE");
  expect_refused({"run", "shop", "rates"}, 2, "one pipeline at a time", "Write: weir run PIPELINE");
  expect_refused({"run", "shop", "-p", "country"}, 2, "--param is 'country', which is not NAME=VALUE",
                 "Write: --param country=VALUE");
  expect_refused({"run", "shop", "-p", "=de"}, 2, "--param is '=de', which is not NAME=VALUE",
                 "Write: --param NAME=VALUE");
  expect_refused({"run", "shop", "-p", "country=it"}, 2, "parameter country of shop cannot be 'it'",
                 "It is one of: de, fr");
  expect_refused({"run", "shop", "-p", "limit=many"}, 2,
                 "parameter limit of shop is an integer, and 'many' is none",
                 "Write a whole number: --param limit=42");
  expect_refused({"run", "shop", "-p", "contry=de"}, 2, "shop has no parameter 'contry'",
                 "Did you mean 'country'?");
  expect_refused({"run", "shop", "--at", "noon"}, 2, "--at 'noon' is no time in UTC",
                 "Write 2026-03-29, 2026-03-29T01:30 or 2026-03-29T01:30Z");
  EXPECT_EQ(weir({"run", "shop", "--at", "2026-01-05"}).status, 0);
  expect_refused({"run", "shop", "--at", "2026-01-05"}, 5,
                 "shop has a run by hand for 2026-01-05T00:00:00Z already: run 1",
                 "weir retry 1 begins it again; without --at a new one is made.");
  EXPECT_EQ(value("SELECT count(*) FROM weir.run"), "1");
}

TEST_F(CliPipelines, NextIsOfTheProjectOrSaysWhatToWrite) {
  const WeirResult next = weir({"next", "shop", "--after", "2026-01-29", "-n", "9"});
  EXPECT_EQ(next.status, 0) << next.err;
  EXPECT_EQ(next.out,
            "UTC                       UTC\n2026-01-29 06:00:00  UTC  2026-01-29 06:00:00\n"
            "2026-01-30 06:00:00  UTC  2026-01-30 06:00:00\n2026-01-31 06:00:00  UTC  2026-01-31 06:00:00\n");
  EXPECT_EQ(next.err, "weir: after that there are none\n");
  expect_refused({"next", "shp"}, 2, "the project has no pipeline 'shp'", "Did you mean 'shop'?");
  expect_refused({"next", "shop", "--cron", "@daily"}, 2, "a pipeline has a schedule of its own",
                 "Write: weir next PIPELINE, or weir next --cron EXPR");
  put("pipelines/shop/pipeline.yml", "tasks: {a: {sql: x}}\n");
  expect_refused({"next", "shop"}, 2, "shop has no times: it runs by hand, or after datasets");
}

TEST_F(CliPipelines, ABackfillIsPlannedFirst) {
  deploy();
  const Words range{"backfill", "shop", "--from", "2026-01-01", "--to", "2026-01-05"};
  const WeirResult plan = weir(range);
  EXPECT_EQ(plan.status, 0) << plan.err;
  EXPECT_THAT(plan.out, StartsWith("shop: 4 runs, 1 at a time, for the data from "));
  EXPECT_THAT(plan.err, HasSubstr("--yes makes these runs"));
  EXPECT_EQ(value("SELECT count(*) FROM weir.run"), "0");
  Words really = range;
  really.insert(really.end(), {"--parallel", "2", "--yes", "-q"});
  EXPECT_THAT(weir(really).out, HasSubstr("backfill 1: 4 runs are made\n"));
  EXPECT_EQ(value("SELECT count(*) FROM weir.run WHERE state = 'running'"), "2");
  EXPECT_THAT(weir(really).out, HasSubstr("0 runs are made, 4 were there already"));
  const auto with = [&](const Words& more) {
    Words words{"backfill", "shop"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  expect_refused(with({}), 2, "backfill needs --from and --to",
                 "Write: weir backfill PIPELINE --from 2026-01-01 --to 2026-02-01");
  expect_refused(with({"--from", "2026-01-05", "--to", "2026-01-01"}), 2, "--to is not after --from",
                 "The range is from --from on, up to --to.");
  expect_refused(with({"--from", "x", "--to", "2026-01-01"}), 2, "--from 'x' is no time in UTC",
                 "Write 2026-03-29, 2026-03-29T01:30 or 2026-03-29T01:30Z");
  expect_refused(with({"--from", "2026-03-01", "--to", "2026-04-01"}), 2,
                 "no logical time of shop lies in that range",
                 "weir next shop --after TIME shows those of the project.");
  deploy("tasks: {a: {sql: select 1}}\n");
  expect_refused(with({"--from", "2026-01-01", "--to", "2026-02-01"}), 2,
                 "shop has no schedule that says which times are in a range",
                 "Start it once for each: weir run PIPELINE --at TIME");
}

TEST_F(CliPipelines, AlertsAreListedAndSentAgain) {
  EXPECT_THAT(weir({"alerts"}).err, HasSubstr("there were no alerts"));
  deploy("alerts: [{when: failed, to: 'http://127.0.0.1:1/sesame'}]\ntasks: {a: {run: ['false']}}\n");
  const std::string run = make_run();
  EXPECT_EQ(work(), 1);
  const json alerts = document({"alerts", run}).at("alerts");
  ASSERT_EQ(alerts.size(), 1U);
  EXPECT_EQ(alerts[0].at("event"), "failed");
  EXPECT_EQ(alerts[0].at("to"), "http://127.0.0.1:1");
  EXPECT_EQ(alerts[0].at("state"), "waiting");
  EXPECT_EQ(alerts[0].at("attempts"), 1);
  EXPECT_EQ(weir({"alerts", "--again"}).out, "none was given up\n");
  session().execute("UPDATE weir.alert SET state = 'given_up', ended_at = now()");
  EXPECT_THAT(weir({"alerts"}).out, AllOf(HasSubstr("given up"), Not(HasSubstr("sesame"))));
  EXPECT_EQ(weir({"alerts", "--again", "-q"}).out, "1 alert is sent again\n");
  EXPECT_EQ(document({"alerts"}).at("alerts")[0].at("attempts"), 0);
  expect_refused({"alerts", "9"}, 2, "there is no run 9",
                 "weir runs lists them; what is older than the project's history is gone.");
  expect_refused({"alerts", run + "/a"}, 2, "alerts are those of one run, or all",
                 "Write: weir alerts [RUN]");
}

TEST_F(CliPipelines, TheDoctorLooksAtTheWork) {
  const auto finding = [this](const std::string& check) {
    const json report = document({"doctor"});
    for (const auto& each : report.at("checks")) {
      if (each.at("check") == check) return each;
    }
    return json();
  };
  deploy();
  for (const char* const check :
       {"processes", "schedules", "pools", "letters", "alerts", "history", "tables", "indexes"})
    EXPECT_EQ(finding(check).at("verdict"), "ok") << finding(check);
  EXPECT_THAT(finding("pools").at("message"), HasSubstr("narrow: 0 of 1 slot taken by 0 tasks; ready are 0"));
  EXPECT_EQ(make_run(), "1");
  EXPECT_EQ(finding("schedules").at("verdict"), "fail");
  EXPECT_THAT(finding("schedules").at("message"), HasSubstr("nobody works on them: 0 due"));
  EXPECT_THAT(finding("schedules").at("remedy"), HasSubstr("weir up"));
  // A process that died with a task, and nobody there to take it over.
  session().execute(
      "INSERT INTO weir.process (name, lease_until) VALUES ('gone:1', now() - interval '1 hour')");
  session().execute("UPDATE weir.task SET state = 'running', worker_id = 1, claim = 1 WHERE state = 'ready'");
  EXPECT_EQ(finding("processes").at("verdict"), "fail");
  EXPECT_THAT(finding("processes").at("message"), HasSubstr("1 task, 0 jobs"));
  // Days ahead that nobody has made.
  session().execute(
      "DO $$ DECLARE t text; BEGIN FOR t IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = "
      "'weir.task_log'::regclass LOOP EXECUTE 'DROP TABLE ' || t; END LOOP; END $$");
  EXPECT_EQ(finding("history").at("verdict"), "fail");
  EXPECT_EQ(weir({"doctor", "-q"}).status, 1);
}

}  // namespace
}  // namespace weir::test
