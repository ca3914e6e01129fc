// What weir group consume does with batches that a sink cannot take, with one that takes long, and with SQL
// that it has to judge before there is a batch.
#include <csignal>

#include "cli_group_fixture.h"
#include "support/waiting.h"

namespace weir::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class CliGroupSinks : public CliGroupTest {
 protected:
  /// What stands with it at the first sink.
  std::string error_of(const std::string& id) const {
    const Json error = document({"batch", "show", id}).at("sinks").at(0).at("error");
    return error.is_null() ? "" : error.get<std::string>();
  }
  std::string outcomes() const {
    return text(
        "SELECT coalesce(string_agg(outcome || attempt, ' ' ORDER BY run_id, ended_at), '') FROM "
        "weir.batch_attempt");
  }
};

// Found in review: every 22023 was said to be a payload without rows.
TEST_F(CliGroupSinks, AValueThatATableCannotTakeIsToldAsTheServerTellsIt) {
  session().execute("CREATE TABLE timed (id int UNIQUE, at timestamptz)");
  EXPECT_EQ(run({"feed", "set", "default", "--max-attempts", "3"}).status, 0);
  submit({R"([{"id":1,"at":"2026-01-01 00:00 Mars/Phobos"}])"});
  submit({"7"});
  EXPECT_EQ(consume("silver", {"--into", "timed"}).status, 1);
  EXPECT_THAT(error_of("1.0"), AllOf(HasSubstr("not recognized"), Not(HasSubstr("no rows"))));
  EXPECT_THAT(error_of("2.0"), HasSubstr("the payload has no rows"));
  submit({R"([{"id":1,"at":"2026-01-01 00:00 Mars/Phobos"}])"});
  EXPECT_EQ(consume("silver", {"--into", "timed", "--key", "id"}).status, 1);
  EXPECT_THAT(error_of("3.0"), HasSubstr("not recognized"));
  EXPECT_EQ(outcomes(), "failed1 failed1 failed1");
}

// Found in review: on another server it was tried three times.
TEST_F(CliGroupSinks, WhatNoRowCanBeFailsAtOnceAlsoOnAnotherServer) {
  EXPECT_EQ(run({"feed", "set", "default", "--max-attempts", "3"}).status, 0);
  submit({"[1]"});
  submit({R"([{"id":1,"nosuch":2}])"});
  EXPECT_EQ(consume("silver", {"--into", "silver", "--to", url()}).status, 1);
  EXPECT_THAT(error_of("1.0"), HasSubstr("the payload has no rows"));
  EXPECT_THAT(error_of("2.0"), HasSubstr("nosuch"));
  EXPECT_EQ(outcomes(), "failed1 failed1");
}

// Found in review: --timeout was taken, and nothing came of it.
TEST_F(CliGroupSinks, ABatchThatTakesLongerThanItMayIsBrokenOffWhateverTheSink) {
  pg::Session gate = session();
  gate.execute_script("SELECT pg_advisory_lock(4713); BEGIN; LOCK TABLE silver IN SHARE MODE");
  const auto broken_off = [&](Words words, const std::string& why) {
    const std::string id = submit({R"({"id": 1, "v": "x"})"});
    words.insert(words.begin(), {"--timeout", "200ms"});
    const WeirResult result = consume("silver", words);
    EXPECT_EQ(result.status, 1) << result.out << result.err;
    EXPECT_THAT(result.out, HasSubstr("1 failed, 0 lost")) << why;
    EXPECT_THAT(error_of(id), AllOf(HasSubstr("failed 1 times"), HasSubstr(why))) << why;
  };
  const std::string by_server = "statement timeout";
  broken_off({"--sql", "SELECT pg_advisory_xact_lock_shared(4713) FROM weir_batch"}, by_server);
  broken_off({"--into", "silver"}, by_server);
  broken_off({"--into", "silver", "--key", "id"}, by_server);
  broken_off({"--into", "silver", "--to", url()}, "the other server had not taken it after 200 ms");
  broken_off({"--", "sleep", "600"}, "");
  gate.close();
  submit({R"({"id": 1, "v": "x"})"});
  EXPECT_EQ(consume("silver", {"--into", "silver", "--to", url(), "--timeout", "1m"}).status, 0);
  EXPECT_EQ(text("SELECT count(*) FROM silver"), "1");
}

// Found in review: nobody but the consumer's log knew why.
TEST_F(CliGroupSinks, WhatWaitsForAServerThatIsAwaySaysSo) {
  submit({R"({"id": 1, "v": "x"})"});
  WeirProgram program({"group", "consume", "--sink", "silver", "--into", "silver", "--to",
                       "postgresql://127.0.0.1:1/nowhere"},
                      setup());
  wait_until([&] { return outcomes() == "returned1"; }, "the batch to be put off");
  program.signal(SIGTERM);
  EXPECT_EQ(program.wait_end(), 0) << program.err();
  const Json waiting = document({"batch", "list", "--state", "waiting_retry"}).at("batches").at(0);
  EXPECT_THAT(waiting.at("error").get<std::string>(),
              AllOf(HasSubstr("the other server is away"), HasSubstr("127.0.0.1")));
  EXPECT_EQ(waiting.at("attempt"), 0);
  EXPECT_THAT(document({"batch", "show", "1.0"}).at("attempts").at(0).at("error").get<std::string>(),
              HasSubstr("the other server is away"));
}

// Found in an audit: it was waited for, for ever, with a warning every five seconds.
TEST_F(CliGroupSinks, AServerThatAnswersAndRefusesIsNotAway) {
  const auto refused = [&](const pg::Conninfo& target, const std::string& remedy) {
    const WeirResult result = consume("silver", {"--into", "silver", "--to", target.url()});
    EXPECT_EQ(result.status, 4) << result.out;
    EXPECT_THAT(result.err, AllOf(HasSubstr("--to"), HasSubstr("does not exist"), HasSubstr(remedy)));
  };
  refused(TestServer::shared().conninfo("nosuch"), "createdb");
  pg::Conninfo nobody = TestServer::shared().conninfo(database());
  refused(nobody.set("user", "weir_test_nobody"), "user name");

  const std::string there = database() + "_there";
  session().execute("CREATE DATABASE " + there);
  const pg::Conninfo target = TestServer::shared().conninfo(there);
  pg::Connector(target).connect(pg::Role::api, "test").execute("CREATE TABLE public.silver (id int, v text)");
  WeirProgram program(
      {"group", "consume", "--sink", "silver", "--into", "public.silver", "--to", target.url()}, setup());
  program.wait_for_error("consuming");
  session().execute("DROP DATABASE " + there);
  const std::string id = submit({R"({"id": 1, "v": "x"})"});
  wait_until([&] { return outcomes() == "failed1"; }, "the batch to fail");
  EXPECT_THAT(error_of(id), AllOf(HasSubstr("does not exist"), HasSubstr("createdb")));
  program.signal(SIGTERM);
  EXPECT_EQ(program.wait_end(), 0) << program.err();
}

// Found in review: to look at the SQL it was run, for minutes where it took as long.
TEST_F(CliGroupSinks, QueriesAreJudgedWithoutBeingRun) {
  session().execute_script(
      "CREATE FUNCTION trap() RETURNS int LANGUAGE plpgsql AS "
      "$$ BEGIN RAISE EXCEPTION 'it was run' USING ERRCODE = 'XX000'; END $$; "
      "CREATE VIEW trapped AS SELECT trap() AS n; "
      "CREATE TABLE other (n int)");
  const auto good = [&](const std::string& sql) {
    const WeirResult result = consume("silver", {"--sql", sql});
    EXPECT_EQ(result.status, 0) << sql << result.err;
  };
  const auto bad = [&](const std::string& sql, const std::string& why) {
    const WeirResult result = consume("silver", {"--sql", sql});
    EXPECT_EQ(result.status, 3) << sql << result.err;
    EXPECT_THAT(result.err, HasSubstr(why));
  };
  good("SELECT * FROM trapped");
  good("INSERT INTO other SELECT n FROM trapped -- all of it");
  good("SELECT * FROM trapped; INSERT INTO other SELECT n FROM trapped;");
  good("WITH gone AS (DELETE FROM other RETURNING n) SELECT trap() FROM gone");
  // What only running it tells is run, and undone.
  good("CREATE TEMP TABLE part AS SELECT idx FROM weir_batch; INSERT INTO other SELECT idx FROM part");
  good("DO $$ BEGIN INSERT INTO other VALUES (1); END $$");
  EXPECT_EQ(text("SELECT count(*) FROM other"), "0");
  bad("INSERT INTO nowhere SELECT n FROM trapped; SELECT * FROM trapped", "nowhere");
  bad("INSERT INTO other (m) SELECT 1 FROM weir_batch", "line 1, column 20: column \"m\"");
  bad("DO $$ BEGIN INSERT INTO nowhere VALUES (1); END $$", "nowhere");
  bad("SELECT 1; COMMIT", "COMMIT");
  bad("SELECT idx INTO made FROM weir_batch", "INTO");
  bad("SELEC 1", "syntax error");
  bad("SELECT 1; END; DROP TABLE other; BEGIN ATOMIC SELECT 1", "");
  EXPECT_EQ(text("SELECT to_regclass('other') IS NOT NULL"), "true");

  // What the user may not do is found without running it, too.
  session().execute_script(
      "DROP ROLE IF EXISTS weir_test_sam; CREATE ROLE weir_test_sam LOGIN; GRANT weir_worker TO "
      "weir_test_sam; "
      "CREATE TABLE closed (n int)");
  WeirSetup as_sam = setup();
  as_sam.env["PGOPTIONS"] = "-c role=weir_test_sam";
  const WeirResult denied = run_weir({"group", "consume", "--sink", "silver", "--once", "--concurrency", "2",
                                      "--sql", "INSERT INTO closed SELECT idx FROM weir_batch"},
                                     as_sam);
  EXPECT_NE(denied.status, 0);
  EXPECT_THAT(denied.err, HasSubstr("permission denied for table closed"));
  session().execute_script("DROP OWNED BY weir_test_sam; DROP ROLE weir_test_sam");
}

}  // namespace
}  // namespace weir::test
