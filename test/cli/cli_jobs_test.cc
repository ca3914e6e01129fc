// Jobs, queues and workers from the command line.
#include <csignal>
#include <filesystem>
#include <fstream>

#include <sys/stat.h>

#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "support/database.h"
#include "support/waiting.h"
#include "weir_program.h"

namespace weir::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Words = std::vector<std::string>;
using nlohmann::json;

/// Acknowledges all.
constexpr const char* kGood =
    R"(while read -r line; do case $line in '{"end":'*) echo '{"ack":"all"}' ;; esac; done)";
/// Gives every job up.
constexpr const char* kBad =
    R"(while read -r line; do case $line in '{"end":'*) ;; *) id=${line#'{"id":"'}; id=${id%%'"'*};
       echo "{\"id\":\"$id\",\"discard\":\"no way\"}" ;; esac; done)";

class CliJobs : public SchemaTest {
 protected:
  [[nodiscard]] WeirSetup setup(const std::string& input = "") const {
    return {.env = {{"DATABASE_URL", url()}}, .folder = folder_.path(), .input = input};
  }
  WeirResult run(const Words& words, const std::string& input = "") const {
    return run_weir(words, setup(input));
  }
  json document(Words words) const {
    words.emplace_back("--json");
    return json::parse(run(words).out);
  }
  std::string enqueue(Words words) const {
    words.insert(words.begin(), {"job", "enqueue"});
    const WeirResult result = run(words);
    EXPECT_EQ(result.status, 0) << result.err;
    return result.out.substr(0, result.out.find('\n'));
  }
  std::int64_t count(const std::string& from) const {
    return session().execute("SELECT count(*) FROM " + from)[0].get<std::int64_t>(0);
  }
  WeirResult work(const std::string& queue, const std::string& script) const {
    return run({"worker", "--queue", queue, "--once", "--", "sh", "-c", script});
  }

  ScratchFolder folder_{"jobs"};
};

TEST_F(CliJobs, AJobIsShownWithAllThatIsKnownOfIt) {
  const std::string id = enqueue({"q", R"({"to":"ada"})", "--kind", "mail", "--priority=-3", "--max-attempts",
                                  "2", "--limit-key", "ada"});
  const json job = document({"job", "show", id});
  EXPECT_EQ(job.at("id"), id);
  EXPECT_EQ(job.at("state"), "waiting");
  EXPECT_EQ(job.at("kind"), "mail");
  EXPECT_EQ(job.at("priority"), -3);
  EXPECT_EQ(job.at("max_attempts"), 2);
  EXPECT_EQ(job.at("limit_key"), "ada");
  EXPECT_EQ(job.at("payload").at("to"), "ada");
  EXPECT_THAT(job.at("reason").get<std::string>(), HasSubstr("no worker listens"));
  EXPECT_THAT(run({"job", "show", id}).out, HasSubstr("\npayload\n  {\"to\": \"ada\"}\n"));
  EXPECT_EQ(run({"job", "show", "4711"}).status, 1);

  run({"queue", "pause", "q"});
  EXPECT_THAT(document({"job", "show", id}).at("reason").get<std::string>(),
              HasSubstr("weir queue resume q"));
}

TEST_F(CliJobs, AUniqueKeyAnswersTheJobThatHasIt) {
  const std::string id = enqueue({"q", "1", "--unique", "k", "--delay", "1h"});
  EXPECT_EQ(enqueue({"q", "2", "--unique", "k"}), id);
  EXPECT_EQ(document({"job", "show", id}).at("state"), "later");
  EXPECT_EQ(enqueue({"q", "3", "--unique", "k", "--if-exists", "replace"}), id);
  EXPECT_EQ(document({"job", "show", id}).at("payload"), 3);
  EXPECT_EQ(document({"job", "show", id}).at("state"), "waiting");
}

TEST_F(CliJobs, NumbersAreTextHoweverLargeTheyAre) {
  const std::string id = enqueue({"q", R"({"a":1e400})"});
  EXPECT_EQ(run({"job", "show", id}).status, 0);
  EXPECT_THAT(document({"job", "show", id}).at("payload").get<std::string>(), HasSubstr("{\"a\": 1000"));
  const WeirResult lines = run({"job", "enqueue", "q", "-"}, "-1e-400\n" + std::string(400, '7') + "\n");
  EXPECT_EQ(lines.status, 0) << lines.err;
  EXPECT_EQ(count("weir.job WHERE length(payload::text) >= 400"), 3);
  run({"queue", "set", "q", "keep=1"});
  const WeirResult result = work(
      "q", R"(while read -r line; do case $line in '{"end":'*) ;; *) id=${line#'{"id":"'}; id=${id%%'"'*};
           echo "{\"id\":\"$id\",\"ok\":true,\"result\":1e400}" ;; esac; done)");
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(count("weir.job_done WHERE result = '1e400'"), 3);
}

TEST_F(CliJobs, LinesOfStandardInputAreJobsAllOrNone) {
  std::string lines;
  for (int i = 1; i <= 2500; ++i) lines += "{\"n\":" + std::to_string(i) + "}\n";
  EXPECT_EQ(run({"job", "enqueue", "q", "-"}, lines).out, "2,500 jobs enqueued in q\n");
  EXPECT_EQ(count("weir.job"), 2500);

  const WeirResult bad = run({"job", "enqueue", "q", "-"}, lines + "\n{oops}\n{}\n");
  EXPECT_EQ(bad.status, 2) << "as with a bad argument";
  EXPECT_THAT(bad.err,
              HasSubstr("weir: standard input:2502: the payload cannot be used: it is no JSON at byte 1; "
                        "nothing was enqueued\n"));
  EXPECT_EQ(count("weir.job"), 2500);

  const WeirResult batches = run({"job", "enqueue", "q", "-", "--batch", "1000"}, lines + "{oops}\n");
  EXPECT_EQ(batches.status, 2);
  EXPECT_THAT(batches.err, HasSubstr("standard input:2501: "));
  EXPECT_THAT(batches.err, HasSubstr("the 2,000 before were enqueued, up to line 2000"));
  EXPECT_EQ(count("weir.job"), 4500);
}

TEST_F(CliJobs, ARefusedLineIsToldAndNothingIsKept) {
  const WeirResult result = run({"job", "enqueue", "q", "-", "--json"}, "1\n\"a\\u0000b\"\n");
  EXPECT_EQ(result.status, 2);
  const json error = json::parse(result.out).at("error");
  EXPECT_EQ(error.at("code"), 2);
  EXPECT_THAT(error.at("message").get<std::string>(),
              AllOf(HasSubstr("standard input:2: "), HasSubstr("; nothing was enqueued")));
  EXPECT_EQ(count("weir.job"), 0);
}

TEST_F(CliJobs, AWorkerDoesThemAndItsFiguresStay) {
  run({"job", "enqueue", "q", "--count", "300"});
  const WeirResult result = work("q", kGood);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("300 done, 0 failed, 0 dead, in "));
  const json queue = document({"job", "stats"}).at("queues").at(0);
  EXPECT_EQ(queue.at("done"), 300);
  EXPECT_EQ(queue.at("waiting").at("count"), 0);
}

TEST_F(CliJobs, WhatWasGivenUpIsSeenAndReplayed) {
  const std::string id = enqueue({"q"});
  EXPECT_EQ(work("q", kBad).status, 1);
  const json dead = document({"job", "dead"}).at("jobs");
  ASSERT_EQ(dead.size(), 1U);
  EXPECT_EQ(dead.at(0).at("id"), id);
  EXPECT_EQ(dead.at(0).at("error"), "no way");

  EXPECT_EQ(run({"job", "replay", id, "4711"}).status, 1);
  EXPECT_EQ(document({"job", "show", id}).at("state"), "waiting");
  EXPECT_EQ(work("q", kBad).status, 1);
  EXPECT_EQ(document({"job", "replay", "--queue", "q"}).at("replayed"), 1);
  EXPECT_EQ(work("q", kGood).status, 0);
  EXPECT_EQ(document({"job", "list"}).at("jobs").size(), 0U);
}

TEST_F(CliJobs, DeadLettersAreDroppedWithConsentAlone) {
  const std::string id = enqueue({"q", "1"});
  enqueue({"q", "2"});
  EXPECT_EQ(work("q", kBad).status, 1);
  const WeirResult refused = run({"job", "drop", "--queue", "q"});
  EXPECT_EQ(refused.status, 5);
  EXPECT_THAT(refused.err, HasSubstr("2 dead letters would be gone for good"));
  EXPECT_EQ(document({"job", "drop", "--all", "--dry-run"}).at("would_drop"), 2);
  EXPECT_EQ(run({"job", "drop", "--all", "--older-than", "1h", "--dry-run"}).out,
            "0 dead letters would be dropped\n");
  for (const auto& [option, value] : {std::pair{"--kind", "k"}, std::pair{"--older-than", "1h"}}) {
    const WeirResult mixed = run({"job", "drop", id, option, value, "--yes"});
    EXPECT_EQ(mixed.status, 2);
    EXPECT_THAT(mixed.err, HasSubstr("do not go with ids"));
  }
  EXPECT_EQ(count("weir.job_dead"), 2);
  EXPECT_EQ(run({"job", "drop", id, "4711", "--yes"}).status, 1);
  EXPECT_EQ(count("weir.job_dead"), 1);
  EXPECT_EQ(run({"job", "drop", "--queue", "q", "--yes"}).out, "1 dead letter dropped\n");
  EXPECT_EQ(count("weir.job_dead"), 0);
}

TEST_F(CliJobs, RetryAndCancelSayWhatBecameOfEachJob) {
  const std::string later = enqueue({"q", "1", "--delay", "1h"});
  const std::string waiting = enqueue({"q", "2"});
  const json retried = document({"job", "retry", later, waiting, "4711"});
  EXPECT_EQ(retried.at("ok"), false);
  EXPECT_EQ(retried.at("jobs").at(0).at("outcome"), "retried");
  EXPECT_EQ(retried.at("jobs").at(1).at("outcome"), "waiting");
  EXPECT_EQ(retried.at("jobs").at(2).at("outcome"), "missing");
  EXPECT_EQ(count("weir.job"), 2);

  EXPECT_EQ(run({"job", "cancel", later}).out, "job " + later + " cancelled\n");
  EXPECT_EQ(run({"job", "cancel", later}).status, 1);
  EXPECT_EQ(count("weir.job"), 1);
}

TEST_F(CliJobs, ListsShowOneStateOneQueueOneKind) {
  enqueue({"a", "1", "--kind", "x"});
  enqueue({"a", "1", "--delay", "1h"});
  enqueue({"b", "1", "--kind", "x"});
  EXPECT_EQ(document({"job", "list"}).at("jobs").size(), 3U);
  EXPECT_EQ(document({"job", "list", "--state", "later"}).at("jobs").size(), 1U);
  EXPECT_EQ(document({"job", "list", "--queue", "a"}).at("jobs").size(), 2U);
  EXPECT_EQ(document({"job", "list", "--queue", "a", "--kind", "x"}).at("jobs").size(), 1U);
  const json cut = document({"job", "list", "--limit", "2"});
  EXPECT_EQ(cut.at("jobs").size(), 2U);
  EXPECT_EQ(cut.at("more"), true);
}

TEST_F(CliJobs, SqlWorksInTheTransactionOfTheJobs) {
  session().execute("CREATE TABLE public.effect (n int8 PRIMARY KEY)");
  std::string lines;
  for (int i = 1; i <= 500; ++i) lines += std::to_string(i) + "\n";
  run({"job", "enqueue", "q", "-"}, lines);
  const Words words{"worker", "--queue", "q",
                    "--once", "--sql",   "INSERT INTO effect SELECT (payload #>> '{}')::int8 FROM weir_job"};
  const WeirResult result = run(words);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(count("public.effect"), 500);

  run({"queue", "set", "q", "max_running=1"});
  const WeirResult limited = run(words);
  EXPECT_EQ(limited.status, 2);
  EXPECT_THAT(limited.err, HasSubstr("a queue with a limit cannot be worked on in transactional mode"));
}

TEST_F(CliJobs, OneBadJobOfSqlHoldsNobodyUp) {
  session().execute("CREATE TABLE public.effect (n int8 PRIMARY KEY)");
  run({"queue", "set", "q", "max_attempts=2", "backoff=10ms", "backoff_cap=10ms"});
  std::string lines = "{\"t\":\"missing_table\"}\n";
  for (int i = 1; i <= 10; ++i) lines += "{\"t\":\"effect\"}\n";
  run({"job", "enqueue", "q", "-"}, lines);
  const WeirResult result =
      run({"worker", "--queue", "q", "--once", "--sql",
           "do $$ declare r record; begin for r in select id, payload->>'t' t from weir_job loop "
           "execute format('insert into %I values (%s)', r.t, r.id); end loop; end $$"});
  EXPECT_EQ(result.status, 1) << result.err;
  EXPECT_EQ(count("public.effect"), 10);
  EXPECT_EQ(count("weir.job_dead WHERE attempt = 2 AND error LIKE '%missing_table%'"), 1);
}

TEST_F(CliJobs, SqlThatOutlastsItsTimeIsTheFaultOfItsJob) {
  session().execute("CREATE TABLE public.effect (n int8 PRIMARY KEY)");
  run({"queue", "set", "q", "max_attempts=2", "backoff=10ms", "backoff_cap=10ms"});
  run({"job", "enqueue", "q", "-"}, "1\n2\n3\n");
  const WeirResult result = run({"worker", "--queue", "q", "--once", "--timeout", "300ms", "--sql",
                                 "insert into effect select n from (select (payload #>> '{}')::int8 n from "
                                 "weir_job) j, lateral pg_sleep(case n when 2 then 3600 else 0 end)"});
  EXPECT_EQ(result.status, 1) << result.err;
  EXPECT_EQ(count("public.effect"), 2);
  EXPECT_EQ(count("weir.job_dead WHERE attempt = 2 AND error LIKE '%57014%'"), 1);
}

TEST_F(CliJobs, SqlThatCannotWorkIsRefusedWithItsPlace) {
  enqueue({"q"});
  const auto refused = [&](const std::string& sql, const std::string& message) {
    const WeirResult result = run({"worker", "--queue", "q", "--once", "--sql", sql});
    EXPECT_EQ(result.status, 3) << sql << result.err;
    EXPECT_THAT(result.err, HasSubstr(message)) << sql;
  };
  refused("SELECT nosuch FROM weir_job",
          "the SQL does not work: line 1, column 8: column \"nosuch\" does not exist");
  refused("SELECT 1;\nCOMMIT", "COMMIT has no place in it");
  refused("DISCARD ALL", "the SQL does not work");
  refused("COPY weir_job TO STDOUT", "the SQL does not work");
  EXPECT_EQ(count("weir.job WHERE attempt = 0"), 1);
}

TEST_F(CliJobs, SigtermDrainsAWorkerAndHandsBackNothingThatWasDone) {
  WeirProgram worker({"worker", "--queue", "q", "--json", "--", "sh", "-c", kGood}, setup());
  worker.wait_for("\"started\"");
  run({"job", "enqueue", "q", "--count", "100"});
  // In one statement: between two a job goes from the one table to the other.
  test::wait_until(
      [&] { return count("(SELECT 1 FROM weir.job UNION ALL SELECT 1 FROM weir.job_claim) j") == 0; },
      "the jobs");
  worker.signal(SIGTERM);
  EXPECT_EQ(worker.wait_end(), 0);
  EXPECT_THAT(worker.out(), AllOf(HasSubstr("\"draining\""), HasSubstr("\"done\":100")));
  EXPECT_EQ(count("weir.process"), 0);
}

TEST_F(CliJobs, ADrainEndsWhatRunsAndHandsBackWhatHasNotBegun) {
  const auto gate = folder_.path() / "gate";
  ASSERT_EQ(::mkfifo(gate.c_str(), 0600), 0);
  constexpr const char* kGated =
      R"(while read -r line; do case $line in '{"end":'*) echo '{"ack":"all"}' ;;
         *) : > began; read -r go < gate ;; esac; done)";
  run({"job", "enqueue", "q", "--count", "3"});
  WeirProgram worker(
      {"worker", "--queue", "q", "--slots", "1", "--batch", "1", "--json", "--", "sh", "-c", kGated},
      setup());
  test::wait_until([&] { return std::filesystem::exists(folder_.path() / "began"); }, "the first job");
  worker.signal(SIGTERM);
  worker.wait_for("\"draining\"");
  // What the gate lets go on may take the next one otherwise.
  test::wait_until([&] { return count("weir.job") == 2; }, "the others to be handed back");
  std::ofstream(gate) << "go\n";
  EXPECT_EQ(worker.wait_end(), 0);
  EXPECT_THAT(worker.out(), HasSubstr("\"done\":1,"));
  EXPECT_EQ(count("weir.job WHERE attempt = 0"), 2);
  EXPECT_EQ(count("weir.job_claim"), 0);
}

TEST_F(CliJobs, AProgramTellsHowFarItsJobIs) {
  const auto gate = folder_.path() / "gate";
  ASSERT_EQ(::mkfifo(gate.c_str(), 0600), 0);
  // Far more than are written: the last word counts.
  constexpr const char* kTelling =
      R"(while read -r line; do case $line in '{"end":'*) continue ;; esac
         id=${line#'{"id":"'}; id=${id%%'"'*}; n=0
         while [ $n -lt 1000 ]; do echo "{\"id\":\"$id\",\"progress\":0.1}"; n=$((n + 1)); done
         echo "{\"id\":\"$id\",\"progress\":0.4,\"note\":\"40 of 100\"}"
         read -r go < gate; echo "{\"id\":\"$id\",\"ok\":true}"; done)";
  const std::string id = enqueue({"q"});
  WeirProgram worker({"worker", "--queue", "q", "--slots", "1", "--", "sh", "-c", kTelling}, setup());
  test::wait_until([&] { return document({"job", "show", id}).at("note") == "40 of 100"; }, "its progress");
  const json job = document({"job", "show", id});
  EXPECT_EQ(job.at("state"), "running");
  EXPECT_EQ(job.at("progress"), 0.4);
  EXPECT_THAT(run({"job", "show", id}).out, HasSubstr("40 %"));
  std::ofstream(gate) << "go\n";
  test::wait_until([&] { return count("weir.job_claim") == 0; }, "the job's end");
  worker.signal(SIGTERM);
  EXPECT_EQ(worker.wait_end(), 0);
  EXPECT_EQ(count("weir.job_progress"), 0) << "what has ended has no progress";
}

TEST_F(CliJobs, TopIsAPageThatQEnds) {
  enqueue({"letters"});
  WeirSetup on_terminal = setup();
  on_terminal.terminal = true;
  on_terminal.keyboard = true;
  WeirProgram top({"top"}, on_terminal);
  top.wait_for("letters");
  top.type("q");
  EXPECT_EQ(top.wait_end(), 0);
  EXPECT_THAT(top.out(), AllOf(HasSubstr("\x1b[?1049h"), HasSubstr("\x1b[?1049l")));

  const json page = document({"top", "--once"});
  EXPECT_EQ(page.at("queues").at(0).at("queue"), "letters");
  EXPECT_EQ(page.at("workers").size(), 0U);
  WeirProgram lines({"top", "--json", "--interval", "100ms"}, setup());
  lines.wait_for("letters");
  lines.signal(SIGINT);
  EXPECT_EQ(lines.wait_end(), 0);
}

TEST_F(CliJobs, QueueSettingsAreWordsThatAreCheckedTogether) {
  const json set =
      document({"queue", "set", "q", "rate=10/m", "max_attempts=3", "keep=7", "keep_dead=30d", "relaxed=on"});
  const json queue = set.at("queues").at(0);
  EXPECT_EQ(queue.at("rate").at("jobs"), 10);
  EXPECT_EQ(queue.at("rate").at("seconds"), 60.0);
  EXPECT_EQ(queue.at("max_attempts"), 3);
  EXPECT_EQ(queue.at("keep_days"), 7);
  EXPECT_EQ(queue.at("keep_dead_days"), 30);
  const WeirResult bad = run({"queue", "set", "q", "keep_dead=soon"});
  EXPECT_EQ(bad.status, 2);
  EXPECT_THAT(bad.err, HasSubstr("keep_dead cannot be 'soon': it takes days from 1 to 3650, or forever"));
  EXPECT_EQ(queue.at("relaxed"), true);
  EXPECT_EQ(run({"queue", "set", "q", "rate=none", "max_attempts=no"}).status, 2);
  EXPECT_EQ(document({"queue", "list", "q"}).at("queues").at(0), queue);
  EXPECT_TRUE(document({"queue", "set", "q", "rate=none"}).at("queues").at(0).at("rate").is_null());
}

TEST_F(CliJobs, MistakesAreTold) {
  enqueue({"letters"});
  std::ofstream(folder_.path() / "plain.txt") << "text";
  struct Mistake {
    Words words;
    std::string message;
  };
  const std::vector<Mistake> mistakes{
      {{"queue", "pause", "leters"}, "there is no queue 'leters'\n  Did you mean 'letters'?"},
      {{"queue", "set", "q", "backof=1s"}, "a queue has no setting 'backof'\n  Did you mean 'backoff'?"},
      {{"queue", "set", "q"}, "nothing to set was named"},
      {{"queue", "set", "q", "backoff=2h", "backoff_cap=1h"}, "backoff_cap (1h) is less than backoff (2h)"},
      {{"job", "list", "--state", "ded"},
       "--state is 'ded', which is none of: running, waiting, later, dead"},
      {{"job", "show", "x1"}, "'x1' is not the id of a job"},
      {{"job", "replay"}, "which jobs?"},
      {{"job", "drop"}, "which dead letters?"},
      {{"job", "drop", "--all", "--yes", "--dry-run"}, "--yes and --dry-run exclude one another"},
      {{"job", "enqueue", "q", "{oops}"}, "the payload cannot be used: it is no JSON at byte 1 ({oops})"},
      {{"job", "enqueue", std::string(101, 'q')}, "cannot be the name of a queue"},
      {{"job", "enqueue", "q", "--at", "whenever"}, "--at is 'whenever', which is no time"},
      {{"job", "enqueue", "q", "--delay", "5"}, "--delay is '5', which is not a time from"},
      {{"job", "enqueue", "q", "--if-exists", "ignore"}, "--if-exists needs --unique"},
      {{"worker"}, "what is to be done with the jobs?"},
      {{"worker", "--sql", "x", "--", "cat"}, "--sql and a command exclude one another"},
      {{"worker", "--sql", "nowhere.sql"}, "--sql: there is no file nowhere.sql"},
      {{"worker", "--", "./plain.txt"}, "cannot run ./plain.txt: it is not an executable file"},
      {{"worker", "--", "no-such-program"}, "cannot run no-such-program: it is not on PATH"},
      {{"demo", "workers"}, "weir demo workers is for the project's private PostgreSQL"},
      {{"demo", "scheduler"}, "weir demo scheduler is for the project's private PostgreSQL"},
      {{"demo", "groups"}, "weir demo groups is for the project's private PostgreSQL"},
  };
  for (const Mistake& mistake : mistakes) {
    const WeirResult result = run(mistake.words);
    SCOPED_TRACE(::testing::PrintToString(mistake.words));
    EXPECT_EQ(result.status, mistake.words.front() == "demo" ? 5 : 2);
    EXPECT_THAT(result.err, HasSubstr(mistake.message));
    EXPECT_EQ(result.out, "");
  }
  EXPECT_EQ(count("weir.queue"), 1) << "a mistake makes no queue";
}

TEST_F(CliJobs, WithoutTheSchemaTheyNameTheRemedy) {
  session().execute("DROP SCHEMA weir CASCADE");
  for (const Words& words : {Words{"job", "enqueue", "q"},
                             {"job", "list"},
                             {"queue", "list"},
                             {"top", "--once"},
                             {"worker", "--", "cat"}}) {
    const WeirResult result = run(words);
    EXPECT_EQ(result.status, 4) << words.front();
    EXPECT_THAT(result.err,
                AllOf(HasSubstr("this database has no schema weir yet"), HasSubstr("weir db migrate")));
  }
}

}  // namespace
}  // namespace weir::test
