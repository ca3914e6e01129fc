// weir group consume and group status, as a user has them: two sinks, the second behind the first; what
// fails, what is brought back; the example.
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli_group_fixture.h"
#include "support/waiting.h"

namespace weir::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class CliGroup : public CliGroupTest {
 protected:
  /// Some rows for three groups.
  void submit_rows() const {
    std::string lines;
    for (int i = 0; i < 12; ++i) {
      lines += R"({"tenant":"t)" + std::to_string(i % 3) + R"(","key":"k","run":"r","payload":[{"id":)" +
               std::to_string(i) +
               R"(,"v":"x"}]})"
               "\n";
    }
    ASSERT_EQ(run({"batch", "submit", "--from", "-"}, lines).status, 0);
  }
};

TEST_F(CliGroup, TheSecondSinkFollowsTheFirst) {
  submit_rows();
  const WeirResult early = apply("gold");
  EXPECT_EQ(early.status, 0);
  EXPECT_THAT(early.out, HasSubstr("gold: 0 batches succeeded"));
  const WeirResult silver = consume("silver", {"--into", "silver"});
  EXPECT_EQ(silver.status, 0) << silver.err;
  EXPECT_THAT(silver.out, HasSubstr("silver: 12 batches succeeded, 0 tried again, 0 failed, 0 lost, in "));
  EXPECT_THAT(silver.err, AllOf(HasSubstr("consuming default for silver: up to 2 groups at a time"),
                                HasSubstr("exactly once")));
  EXPECT_EQ(text("SELECT count(*) FROM silver"), "12");
  EXPECT_EQ(states("1.0"), "succeeded pending");
  EXPECT_EQ(apply("gold").status, 0);
  EXPECT_EQ(text("SELECT count(*) FROM applied WHERE sink = 'gold'"), "12");
  EXPECT_EQ(text("SELECT count(*) FROM (SELECT idx, lag(idx) OVER (PARTITION BY run_id ORDER BY n) AS before "
                 "FROM applied) x "
                 "WHERE before IS DISTINCT FROM nullif(idx - 1, -1)"),
            "0")
      << "in order";
  const Json shown = document({"batch", "show", "1.0"});
  ASSERT_EQ(shown.at("attempts").size(), 2U);
  EXPECT_EQ(shown.at("attempts").at(0).at("sink"), "silver");
  EXPECT_EQ(shown.at("attempts").at(0).at("outcome"), "succeeded");
  EXPECT_EQ(shown.at("attempts").at(0).at("attempt"), 1);
  EXPECT_FALSE(shown.at("attempts").at(0).at("owner").is_null());
  EXPECT_EQ(document({"batch", "list", "--state", "succeeded", "--sink", "gold"}).at("batches").size(), 12U);
  EXPECT_EQ(document({"batch", "list", "--state", "succeeded", "--limit", "5"}).at("more"), true);
}

TEST_F(CliGroup, AKeyMakesItAnUpdate) {
  submit({R"({"rows": [{"id": 1, "v": "old"}, {"id": 2, "v": "stays"}]})"});
  submit({R"({"id": 1, "v": "new"})"});
  EXPECT_EQ(consume("silver", {"--into", "silver", "--key", "id"}).status, 0);
  EXPECT_EQ(text("SELECT string_agg(v, ',' ORDER BY id) FROM silver"), "new,stays");
}

TEST_F(CliGroup, TheLastRowOfAKeyInABatchStands) {
  session().execute("CREATE TABLE newest (id int, part int, v text, UNIQUE (id, part))");
  submit(
      {"--final", "--run", "r",
       R"([{"id":1,"part":1,"v":"old"},{"id":2,"part":1,"v":"other"},{"id":1,"part":1,"v":"new"},{"id":3,"v":"a"},{"id":3,"v":"b"}])"});
  EXPECT_EQ(consume("silver", {"--into", "newest", "--key", "id,part"}).status, 0);
  EXPECT_EQ(text("SELECT string_agg(v, ' ' ORDER BY v) FROM newest"), "a b new other");
}

TEST_F(CliGroup, AnotherServerGetsEachBatchOnce) {
  const std::string other = url();
  submit_rows();
  const WeirResult result = consume("silver", {"--into", "silver", "--to", other});
  ASSERT_EQ(result.status, 0) << result.err << result.out;
  EXPECT_EQ(text("SELECT count(*) FROM silver"), "12");
  EXPECT_EQ(text("SELECT count(*) FROM weir_applied WHERE sink LIKE '%:default/silver'"), "12");
}

TEST_F(CliGroup, ACommandGetsEachBatchAsALine) {
  submit({"--run", "r", R"({"n": 1})"});
  submit({"--run", "r", "--final", R"({"n": 2})"});
  const WeirResult result = consume(
      "silver",
      {"--json", "--", "sh", "-c",
       R"(while read -r line; do case $line in '{"end":'*) echo '{"ack":"all"}';; *) echo "$line" >>seen;; esac; done)"});
  EXPECT_EQ(result.status, 0) << result.err << result.out;
  std::istringstream lines(result.out);
  std::vector<Json> events;
  for (std::string line; std::getline(lines, line);) events.push_back(Json::parse(line));
  ASSERT_GE(events.size(), 2U);
  EXPECT_EQ(events.front().at("event"), "started");
  EXPECT_EQ(events.front().at("ownership"), "advisory");
  EXPECT_EQ(events.front().at("delivery"), "at_least_once");
  EXPECT_EQ(events.back().at("event"), "stopped");
  EXPECT_EQ(events.back().at("succeeded"), 2);
  EXPECT_EQ(events.back().at("finished"), true);
  std::ifstream seen(folder_.path() / "seen");
  std::string line;
  std::getline(seen, line);
  EXPECT_THAT(line, AllOf(HasSubstr(R"("batch":"1.0")"), HasSubstr(R"("n": 1)")));
}

TEST_F(CliGroup, WhatFailedIsShownAndBroughtBack) {
  for (int i = 0; i < 3; ++i) submit({"--run", "r", R"({"id": )" + std::to_string(i) + "}"});
  const WeirResult failed =
      consume("silver", {"--sql", "INSERT INTO silver SELECT 1 / (idx - 1), 'x' FROM weir_batch"});
  EXPECT_EQ(failed.status, 1) << failed.out;
  EXPECT_THAT(failed.out, HasSubstr("1 batch succeeded, 0 tried again, 1 failed"));
  EXPECT_THAT(failed.err, HasSubstr("weir batch list --state failed --feed default --sink silver"));
  EXPECT_EQ(states("1.0"), "succeeded failed") << "the run has failed at the sink behind, too";
  EXPECT_EQ(states("1.1"), "failed failed");
  EXPECT_EQ(states("1.2"), "failed failed") << "and the run with it";
  EXPECT_THAT(run({"batch", "show", "1.1"}).out, HasSubstr("division by zero"));
  const WeirResult again = run({"batch", "retry", "1.1", "--sink", "silver"});
  EXPECT_THAT(again.out, HasSubstr("2 batches of the run 1 back before the sink silver")) << again.err;
  EXPECT_EQ(states("1.0"), "succeeded pending") << "what succeeded stays";
  EXPECT_EQ(apply("silver").status, 0);
  EXPECT_EQ(applied("silver"), "1,2");
  EXPECT_EQ(text("SELECT string_agg(attempt::text, ',') FROM applied"), "1,1") << "attempts count anew";
  EXPECT_EQ(apply("gold").status, 0);
  EXPECT_EQ(applied("gold"), "0,1,2");
}

TEST_F(CliGroup, LagAndStatusTellWhatIsInFlight) {
  pg::Session gate = session();
  gate.execute("SELECT pg_advisory_lock(4711)");
  EXPECT_THAT(run({"batch", "lag"}).out, HasSubstr("no batch is unclaimed"));
  EXPECT_THAT(run({"group", "status"}).err, HasSubstr("no group is in flight"));
  submit({"--run", "r", "[]"});
  submit({"--run", "r", "[]"});
  EXPECT_EQ(
      run({"batch", "submit", "--tenant", "b", "--key", "gap", "--run", "g", "--index", "1", "[]"}).status,
      0);
  Json lag = document({"batch", "lag"});
  EXPECT_GT(lag.at("oldest_unclaimed_seconds"), 0);
  EXPECT_EQ(lag.at("sinks").at(0).at("waiting"), 3);
  EXPECT_EQ(lag.at("sinks").at(0).at("claimable_groups"), 1) << "the other one waits for its batch 0";
  EXPECT_EQ(lag.at("sinks").at(1).at("waiting"), 0);
  EXPECT_TRUE(lag.at("sinks").at(1).at("oldest_unclaimed_seconds").is_null());

  WeirProgram program(
      {"group", "consume", "--sink", "silver", "--sql",
       "SELECT pg_advisory_xact_lock_shared(4711) FROM weir_batch", "--ownership", "lease", "--json"},
      setup());
  program.wait_for(R"("ownership":"lease")");
  wait_until([&] { return document({"batch", "lag"}).at("sinks").at(0).at("executing") == 1; }, "the batch");
  const Json status = document({"group", "status", "--sink", "silver"});
  ASSERT_EQ(status.at("groups").size(), 1U);
  const Json group = status.at("groups").at(0);
  EXPECT_EQ(group.at("batch"), "1.0");
  EXPECT_EQ(group.at("kind"), "lease");
  EXPECT_EQ(group.at("attempt"), 1);
  EXPECT_EQ(group.at("tenant"), "acme");
  EXPECT_EQ(document({"batch", "list", "--state", "executing"}).at("batches").at(0).at("owner"),
            group.at("owner"));
  EXPECT_THAT(run({"group", "status"}).out,
              AllOf(HasSubstr("oldest unclaimed batch: "), HasSubstr("1.0"), HasSubstr("lease")));
  EXPECT_THAT(run({"feed", "drop", "default", "--yes"}).err,
              HasSubstr("has a group of the feed default in flight"));
  program.signal(SIGTERM);
  program.wait_for("draining");
  // It looks for nothing more only after it begins nothing more.
  wait_until(
      [&] {
        return text(
                   "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'weir:poll:%' AND "
                   "datname = current_database()") == "0";
      },
      "the end of the poll");
  gate.execute("SELECT pg_advisory_unlock(4711)");
  EXPECT_EQ(program.wait_end(), 0);
  EXPECT_THAT(program.out(), HasSubstr(R"("event":"stopped","succeeded":1)"));
  EXPECT_EQ(states("1.1"), "pending upstream");
}

// Found by a new user: each batch of each group had used up its attempts before anybody looked.
TEST_F(CliGroup, ATargetThatCannotBeIsRefusedBeforeABatchIsTouched) {
  submit({R"({"id": 1, "v": "x"})"});
  const auto refused = [&](const Words& words, const std::string& what) {
    const WeirResult result = consume("silver", words);
    EXPECT_EQ(result.status, 5) << result.out << result.err;
    EXPECT_THAT(result.err, HasSubstr(what));
  };
  refused({"--into", "silver", "--key", "nosuch"}, "has no column nosuch");
  refused({"--into", "silver", "--key", "v"}, "no unique index of the table public.silver is on (v)");
  refused({"--into", "nosuch", "--to", url()},
          R"(the table nosuch of --to cannot be used: relation "nosuch" does not exist)");
  EXPECT_EQ(consume("silver", {"--into", "z; drop"}).status, 2);
  EXPECT_EQ(text("SELECT count(*) FROM weir.batch_attempt"), "0");
  EXPECT_EQ(states("1.0"), "pending upstream");
}

TEST_F(CliGroup, WhatNoRowCanBeFailsAtOnceAndSaysWhy) {
  session().execute("CREATE TABLE computed (id int, twice int GENERATED ALWAYS AS (id * 2) STORED)");
  EXPECT_EQ(run({"feed", "set", "default", "--max-attempts", "3"}).status, 0);
  submit({R"({"id": 1, "twice": 2})"});
  submit({"[1]"});
  EXPECT_EQ(consume("silver", {"--into", "computed"}).status, 1);
  EXPECT_EQ(text("SELECT string_agg(outcome || attempt, ' ') FROM weir.batch_attempt"), "failed1 failed1");
  EXPECT_THAT(document({"batch", "show", "2.0"}).at("sinks").at(0).at("error").get<std::string>(),
              HasSubstr("the payload has no rows"));
}

// Found by a new user: the attempts went with the connection, and the exit code said that all is well.
TEST_F(CliGroup, ABatchThatLosesItsConnectionEachTimeIsAFailureOfTheConsumer) {
  submit({"{}"});
  const WeirResult result =
      consume("silver", {"--sql", "SELECT pg_terminate_backend(pg_backend_pid()) FROM weir_batch"});
  EXPECT_EQ(result.status, 1) << result.out << result.err;
  EXPECT_THAT(result.out, HasSubstr("0 batches succeeded, 0 tried again, 1 failed, 1 lost"));
  EXPECT_EQ(states("1.0"), "failed failed");
}

TEST_F(CliGroup, WhatWaitsForABatchThatHasNotComeSaysSo) {
  submit({"--run", "r", "--index", "2", "{}"});
  const std::string why = "waits for batch 0 of its run, which has not come";
  EXPECT_EQ(document({"batch", "show", "1.2"}).at("sinks").at(0).at("error"), why);
  EXPECT_EQ(document({"batch", "list", "--state", "pending"}).at("batches").at(0).at("error"), why);
  submit({"--run", "r", "--index", "0", "{}"});
  EXPECT_EQ(apply("silver").status, 0);
  EXPECT_EQ(document({"batch", "show", "1.2"}).at("sinks").at(0).at("error"),
            "waits for batch 1 of its run, which has not come");
}

// Found in review: a consumer that died held the feed for ever, when no other one came.
TEST_F(CliGroup, AFeedWhoseConsumerDiedIsDroppedAllTheSame) {
  submit({"{}"});
  session().execute(
      "INSERT INTO weir.group_hold (sink_id, tenant, key, owner, lock_key, expires_at) SELECT id, 'acme', "
      "'orders', 'dead', 1, now() - interval '1 s' FROM weir.feed_sink WHERE name = 'silver'");
  const WeirResult dropped = run({"feed", "drop", "default", "--yes"});
  EXPECT_EQ(dropped.status, 0) << dropped.err;
  EXPECT_EQ(text("SELECT count(*) FROM weir.group_hold"), "0");
}

// Found in review: what the sweep ended was not in the sum, and the exit code said that all is well.
TEST_F(CliGroup, ARunThatTheSweepEndedIsAFailureOfTheConsumer) {
  submit({"{}"});
  session().execute_script(
      "UPDATE weir.batch_step SET state = 'executing', attempt = 1;"
      "INSERT INTO weir.group_hold (sink_id, tenant, key, owner, lock_key, expires_at, run_id, idx, attempt) "
      "SELECT sink_id, tenant, key, 'dead', 1, now(), run_id, idx, attempt FROM weir.batch_step");
  const WeirResult result = apply("silver");
  EXPECT_EQ(result.status, 1) << result.out << result.err;
  EXPECT_THAT(result.out, HasSubstr("0 batches succeeded, 0 tried again, 1 failed"));
}

// Found in review: what Weir wrote of the batch was written by the role of the user's SQL.
TEST_F(CliGroup, ARoleThatTheSqlTakesOnEndsWithIt) {
  submit({"{}"});
  submit({"{}"});
  EXPECT_EQ(consume("silver", {"--sql", "SET ROLE weir_viewer"}).status, 0);
  EXPECT_EQ(states("1.0"), "succeeded pending");
  EXPECT_EQ(states("2.0"), "succeeded pending");
}

TEST_F(CliGroup, ASinkThatIsPausedGetsNothing) {
  submit({"[]"});
  EXPECT_EQ(run({"feed", "pause", "default", "silver"}).out, "silver of default is paused\n");
  EXPECT_EQ(run({"feed", "pause", "default", "silver"}).out, "silver of default was already paused\n");
  const WeirResult paused = apply("silver");
  EXPECT_EQ(paused.status, 0);
  EXPECT_THAT(paused.err, HasSubstr("weir feed resume default silver"));
  EXPECT_EQ(applied("silver"), "");
  EXPECT_THAT(run({"batch", "lag"}).out, HasSubstr("silver (paused)"));
  EXPECT_EQ(document({"feed", "resume", "default", "silver"}).at("changed"), true);
  EXPECT_EQ(apply("silver").status, 0);
  EXPECT_EQ(applied("silver"), "0");
}

TEST_F(CliGroup, InterruptedOnceIs130) {
  pg::Session gate = session();
  gate.execute("SELECT pg_advisory_lock(4712)");
  submit({"[]"});
  WeirProgram program({"group", "consume", "--sink", "silver", "--once", "--drain", "0s", "--sql",
                       "SELECT pg_advisory_xact_lock_shared(4712) FROM weir_batch"},
                      setup());
  wait_until([&] { return document({"batch", "lag"}).at("sinks").at(0).at("executing") == 1; }, "the batch");
  program.signal(SIGINT);
  EXPECT_EQ(program.wait_end(), 130) << program.err();
  EXPECT_EQ(states("1.0"), "pending upstream") << "given back, with no attempt counted";
}

TEST_F(CliGroup, MistakesAreToldWithWhatToDo) {
  const auto refused = [&](const Words& more, int status, const std::string& message) {
    Words words{"group", "consume"};
    words.insert(words.end(), more.begin(), more.end());
    const WeirResult result = run(words);
    EXPECT_EQ(result.status, status) << message << result.err;
    EXPECT_THAT(result.err, HasSubstr(message));
    EXPECT_EQ(result.out, "");
  };
  const std::string sql = "SELECT FROM weir_batch";
  refused({"--sql", sql}, 2, "for which sink?");
  refused({"--sink", "silver"}, 2, "what is to be done with the batches?");
  refused({"--sink", "silver", "--sql", sql, "--into", "silver"}, 2, "exclude one another");
  refused({"--sink", "silver", "--sql", sql, "--key", "id"}, 2, "--key is about the table of --into");
  refused({"--sink", "silver", "--into", "silver", "--key", "a,,b"}, 2, "a column that has no name");
  refused({"--sink", "silver", "--into", "silver", "--key", ""}, 2, "--key names no column");
  refused({"--sink", "silver", "--sql", ""}, 2, "there is no SQL in it");
  refused({"--sink", "silver", "--sql", "/"}, 2, "cannot read /: it is a directory");
  refused({"--sink", "silver", "--into", "silver", "--key", "id", "--to", url()}, 2,
          "--key is for a table of this database");
  refused({"--sink", "silver", "--sql", sql, "--ownership", "mine"}, 2, "none of: auto, advisory, lease");
  refused({"--sink", "sliver", "--sql", sql}, 3, "Did you mean 'silver'?");
  refused({"--sink", "lead", "--sql", sql}, 3, "weir feed sink default lead adds it");
  refused({"--sink", "silver", "--feed", "nowhere", "--sql", sql}, 3, "there is no feed 'nowhere'");
  refused({"--sink", "silver", "--into", "nowhere"}, 5, "there is no table nowhere");
  refused({"--sink", "silver", "--sql", "INSERT INTO nowhere SELECT 1"}, 3,
          "relation \"nowhere\" does not exist");
  refused({"--sink", "silver", "--sql", sql, "--concurrency", "1000"}, 5, "1000");
  refused({"--sink", "silver", "--", "./nowhere"}, 2, "cannot run ./nowhere");
}

TEST_F(CliGroup, TheExampleIsExactAlsoWhenAConsumerIsKilled) {
  const std::string example = std::filesystem::canonical(WEIR_TEST_DIR "/../examples/batches").string();
  const auto psql = [&](const std::string& file) {
    return run({"db", "psql", "--", "-Atqf", example + "/" + file});
  };
  ASSERT_EQ(
      run({"feed", "create", "shop", "--sink", "orders", "--sink", "totals:orders", "--backoff", "100ms"})
          .status,
      0);
  ASSERT_EQ(psql("tables.sql").status, 0);
  const Words orders{"group", "consume", "--feed", "shop", "--sink", "orders", "--into", "orders"};
  const Words totals{"group",  "consume", "--feed", "shop",
                     "--sink", "totals",  "--sql",  example + "/totals.sql"};
  WeirProgram killed(orders, setup());
  killed.wait_for_error("consuming shop for orders");
  const std::string produce = "cd '" + folder_.path().string() + "' && DATABASE_URL='" + url() + "' WEIR='" +
                              weir_binary() + "' '" + example + "/produce.sh' 8 25";
  ASSERT_EQ(std::system(produce.c_str()), 0);  // NOLINT(cert-env33-c)
  wait_until([&] { return text("SELECT count(*) > 0 FROM orders") == "true"; }, "a first order");
  killed.signal(SIGKILL);
  killed.wait_end();
  for (Words words : {orders, totals}) {
    words.emplace_back("--once");
    const WeirResult result = run(words);
    EXPECT_EQ(result.status, 0) << result.err;
  }
  EXPECT_EQ(psql("check.sql").out, "0|2000|2000\n");
}

}  // namespace
}  // namespace weir::test
