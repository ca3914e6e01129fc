// weir feed and weir batch, as a user has them: submitted, listed, shown, failed, brought back.
#include <fstream>

#include "cli_group_fixture.h"
#include "pg/error.h"

namespace weir::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

class CliBatch : public CliGroupTest {};

TEST_F(CliBatch, ABatchIsSubmittedAndShown) {
  EXPECT_EQ(submit({"--run", "r1", R"([{"id": 1}])"}), "1.0");
  EXPECT_EQ(submit({"--run", "r1", "--index", "1", "--final", "--rows", "3000000000",
                    R"({"big": 123456789012345678901234567890})"}),
            "1.1");
  EXPECT_EQ(submit({"--run", "r1", "--index", "0", R"([{"id": 1}])"}), "1.0") << "the same batch";
  EXPECT_THAT(submit({"[]"}), MatchesRegex("[0-9]+\\.0"));
  std::ofstream(folder_.path() / "rows.json") << "[{\"id\": 7}]\n";
  EXPECT_THAT(submit({"@rows.json"}), MatchesRegex("[0-9]+\\.0"));
  EXPECT_EQ(run({"batch", "submit", "--tenant", "t", "--key", "k", "-"}, "{\"a\":\n 1}\n").status, 0);

  const Json shown = document({"batch", "show", "1.1"});
  EXPECT_EQ(shown.at("run"), "r1");
  EXPECT_EQ(shown.at("final"), true);
  EXPECT_EQ(shown.at("last_index"), 1);
  EXPECT_EQ(shown.at("rows"), 3'000'000'000);
  EXPECT_EQ(states("1.1"), "pending upstream");
  EXPECT_THAT(run({"batch", "show", "1.1"}).out,
              AllOf(HasSubstr("acme / orders in the feed default"),
                    HasSubstr("1.1, the final one of its run"), HasSubstr("123456789012345678901234567890")));

  const Json listed = document({"batch", "list", "--run", "1", "--sink", "silver"});
  ASSERT_EQ(listed.at("batches").size(), 2U);
  EXPECT_EQ(listed.at("batches").at(0).at("id"), "1.1") << "the newest first";
  EXPECT_EQ(listed.at("batches").at(1).at("state"), "pending");
  EXPECT_EQ(
      document({"batch", "list", "--tenant", "acme", "--key", "orders", "--run", "r1"}).at("batches").size(),
      4U);
  const Json few = document({"batch", "list", "--state", "pending", "--limit", "2"});
  EXPECT_EQ(few.at("batches").size(), 2U);
  EXPECT_EQ(few.at("more"), true);
  EXPECT_THAT(run({"batch", "list", "--tenant", "nobody"}).err, HasSubstr("no batches"));
}

TEST_F(CliBatch, NumbersOfAPayloadAreTextHoweverLargeTheyAre) {
  const WeirResult one = run({"batch", "submit", "--tenant", "t", "--key", "k", R"({"a":1e400})"});
  EXPECT_EQ(one.status, 0) << one.err;
  const WeirResult lines =
      run({"batch", "submit", "--from", "-"}, R"({"tenant":"t","key":"l","payload":{"a":1e400}})"
                                              "\n");
  EXPECT_EQ(lines.status, 0) << lines.err;
  EXPECT_EQ(run({"batch", "submit", "--from", "-"}, R"({"tenant":"t","key":1e400,"payload":1})"
                                                    "\n")
                .status,
            1);
  EXPECT_EQ(session()
                .execute("SELECT count(*) FROM weir.batch WHERE payload = '{\"a\":1e400}'")[0]
                .get<std::int64_t>(0),
            2);
}

TEST_F(CliBatch, LinesAreSubmittedInTheirOrder) {
  std::string lines;
  for (int i = 0; i < 25; ++i) {
    lines += R"({"tenant":"t)" + std::to_string(i % 5) + R"(","key":"k","run":"r","index":)" +
             std::to_string(i / 5) + R"(,"final":)" + (i / 5 == 4 ? "true" : "false") +
             R"(,"rows":1,"payload":{"n":)" + std::to_string(i) + "}}\n";
  }
  const WeirResult all = run({"batch", "submit", "--from", "-", "--batch", "10"}, lines + "\n");
  EXPECT_EQ(all.status, 0) << all.err;
  EXPECT_EQ(all.out, "25 batches submitted to default\n");
  EXPECT_EQ(text("SELECT count(*) FROM weir.batch"), "25");
  EXPECT_EQ(text("SELECT count(DISTINCT xmin::text) FROM weir.batch"), "3") << "ten lines a transaction";
  EXPECT_EQ(text("SELECT string_agg(payload->>'n', ',' ORDER BY idx) FROM weir.batch WHERE run_id = 1"),
            "0,5,10,15,20");
  std::ofstream(folder_.path() / "b.ndjson") << lines;
  const Json again = document({"batch", "submit", "--from", "b.ndjson"});
  EXPECT_EQ(again.at("submitted"), 25);
  EXPECT_EQ(again.at("first_id"), "1.0");
  EXPECT_EQ(text("SELECT count(*) FROM weir.batch"), "25") << "the same batches";
}

TEST_F(CliBatch, ABadLineIsNamedWithWhatWasKept) {
  const std::string good = R"({"tenant":"t","key":"k","run":"r","payload":{}})"
                           "\n";
  const auto refused = [&](const std::string& line, const std::string& message) {
    const WeirResult result =
        run({"batch", "submit", "--from", "-", "--batch", "2"}, good + good + "\n" + good + line);
    EXPECT_EQ(result.status, 1) << line;
    EXPECT_THAT(result.err, AllOf(HasSubstr("line 5: " + message),
                                  HasSubstr("; the 2 before were submitted, up to line 2")))
        << line;
    session().execute_script("TRUNCATE weir.batch, weir.batch_step, weir.batch_run");
  };
  refused("{\"tenant\":", "it is no JSON at byte 10");
  refused("[1]", "it is no object");
  refused(R"({"tenant":"t","key":"k"})", "'payload' is missing");
  refused(R"({"tenant":1,"key":"k","payload":{}})", "'tenant' has to be a text");
  refused(R"({"tenant":"t","key":"k","index":-1,"payload":{}})",
          "'index' has to be a number from 0 to 1000000000");
  refused(R"({"tenant":"t","key":"k","run":"r","index":1000000001,"payload":{}})",
          "'index' has to be a number from 0 to 1000000000");
  refused(R"({"tenant":"t","key":"k","index":1,"payload":{}})", "'index' is a place in a run");
  refused(R"({"tenant":"t","key":"k","idx":1,"payload":{}})", "nobody knows what 'idx' means");
  refused(R"({"tenant":"t","key":"k","run":"r","index":0,"payload":{"other":1}})",
          "batch 0 of the run 'r' was submitted before, and was another one");
}

TEST_F(CliBatch, WhatCannotBeSubmittedSaysWhy) {
  submit({"--run", "closed", "--index", "1", "--final", "[]"});
  const Words to_closed{"batch",  "submit", "--tenant", "acme",   "--key",
                        "orders", "--run",  "closed",   "--index"};
  const auto refused = [&](Words words, const Words& more, int status, const std::string& message) {
    words.insert(words.end(), more.begin(), more.end());
    const WeirResult result = run(words);
    EXPECT_EQ(result.status, status) << message << result.err;
    EXPECT_THAT(result.err, HasSubstr(message));
    EXPECT_EQ(result.out, "");
  };
  refused(to_closed, {"2", "[]"}, 1, "batch 2 of the run 'closed' cannot be there: 1 is its final one");
  refused(to_closed, {"1", "[2]"}, 1, "was submitted before, and was another one");
  refused(to_closed, {"1", "[]"}, 1, "and is final or not as it was");
  refused({"batch", "submit"}, {"[]"}, 2, "which tenant?");
  refused({"batch", "submit", "--tenant", "t"}, {"[]"}, 2, "which key?");
  const Words to_t{"batch", "submit", "--tenant", "t", "--key", "k"};
  refused(to_t, {}, 2, "what is its payload?");
  refused(to_t, {"{no}"}, 2, "the payload cannot be used");
  refused(to_t, {"@nowhere.json"}, 2, "cannot read nowhere.json: No such file");
  refused(to_t, {"@/"}, 1, "cannot read /: Is a directory");
  refused({"batch", "submit", "--tenant", "\xff", "--key", "k"}, {"[]"}, 2, "--tenant is not UTF-8");
  refused(to_t, {"--index", "3", "[]"}, 2, "--index is a place in a run");
  refused(to_t, {"--run", "r", "--index", "1000000001", "[]"}, 2, "not a number from 0 to 1000000000");
  refused(to_t, {"--feed", "nowhere", "[]"}, 3, "there is no feed 'nowhere'");
  refused(to_t, {"--feed", "defualt", "[]"}, 3, "Did you mean 'default'?");
  refused({"batch", "submit", "--feed", "defualt", "--from", "/dev/null"}, {}, 3, "Did you mean 'default'?");
  refused({"batch", "submit", "--from", "nowhere.ndjson"}, {}, 2, "cannot read nowhere.ndjson");
  refused({"batch", "submit", "--from", "-", "--tenant", "t"}, {}, 2, "--tenant is of one batch");
  refused({"batch", "show"}, {}, 2, "which batch?");
  refused({"batch", "show", "17"}, {}, 1, "there is no batch 17.0");
  for (const char* const id : {"x", "1.", ".1", "1.x", "-1", "0"})
    refused({"batch", "show", "--", id}, {}, 2, "");
  refused({"batch", "list", "--state", "failde"}, {}, 2, "Did you mean 'failed'?");
  refused({"batch", "list", "--since", "1h"}, {}, 2, "--since is about batches that have ended");
  refused({"batch", "list", "--run", "closed"}, {}, 2, "add --tenant T and --key K");
  refused({"batch", "list", "--sink", "sliver"}, {}, 3, "Did you mean 'silver'?");
  refused({"batch", "list", "--feed", "nowhere"}, {}, 3, "There are: default.");
  refused({"batch", "retry", "99"}, {}, 1, "there is no run 99");
  refused({"batch", "retry", "1"}, {}, 5, "the run 1 (closed) has not failed");
  refused({"batch", "fail", "1"}, {}, 2, "why?");
  refused({"batch", "fail", "1", "--reason", "x", "--sink", "lead"}, {}, 3, "has no sink 'lead'");
}

TEST_F(CliBatch, ARunIsFailedByHandAndBroughtBack) {
  for (int i = 0; i < 3; ++i) submit({"--run", "r", "[]"});
  submit({"--run", "other", "[]"});
  const WeirResult failed = run({"batch", "fail", "1.2", "--reason", "wrong source"});
  EXPECT_EQ(failed.out, "3 batches of the run 1 failed at the sink silver\n") << failed.err;
  EXPECT_EQ(states("1.0"), "failed failed");
  EXPECT_THAT(run({"batch", "list", "--state", "failed"}).out,
              AllOf(HasSubstr("1.0"), HasSubstr("wrong source")));
  EXPECT_EQ(document({"batch", "list", "--state", "failed", "--sink", "silver"}).at("batches").size(), 3U);
  EXPECT_EQ(document({"batch", "lag"}).at("sinks").at(0).at("failed_runs"), 1);
  EXPECT_EQ(run({"batch", "fail", "1", "--reason", "again"}).status, 5);
  EXPECT_EQ(apply("silver").status, 0);
  EXPECT_EQ(text("SELECT string_agg(run, ',') FROM applied"), "other")
      << "the group goes on with the next run";

  EXPECT_EQ(run({"batch", "retry", "1"}).out,
            "3 batches of the run 1 back before the sink silver\n0 batches of the run 1 back before the sink "
            "gold\n");
  EXPECT_EQ(states("1.0"), "pending upstream");
  EXPECT_THAT(run({"batch", "list", "--state", "failed"}).err, HasSubstr("no batches"));
  EXPECT_EQ(apply("silver").status, 0);
  EXPECT_EQ(apply("gold").status, 0);
  EXPECT_EQ(states("1.2"), "succeeded succeeded");
  EXPECT_EQ(
      text("SELECT string_agg(idx::text, ',' ORDER BY n) FROM applied WHERE sink = 'gold' AND run = 'r'"),
      "0,1,2");
  submit({"--run", "r", "--final", "[]"});
  EXPECT_EQ(apply("silver").status, 0);
  EXPECT_EQ(apply("gold").status, 0);
  EXPECT_THAT(run({"batch", "fail", "1", "--reason", "late"}).err,
              HasSubstr("nothing of the run 1 (r) is left"));
}

TEST_F(CliBatch, FeedsAreMadeChangedAndDropped) {
  const WeirResult made = run({"feed", "create", "imports", "--sink", "a", "--sink", "b:a", "--keep", "30d"});
  EXPECT_EQ(made.out, "made the feed imports\n") << made.err;
  EXPECT_THAT(run({"feed", "list"}).out, HasSubstr("a, b after a"));
  const Json feed = document({"feed", "list"}).at("feeds").at(1);
  EXPECT_EQ(feed.at("keep_seconds"), 30 * 86400);
  EXPECT_EQ(feed.at("max_attempts"), 3);
  EXPECT_EQ(run({"feed", "set", "imports", "--backoff", "1m"}).out,
            "imports: max-attempts 3, backoff 1 m 0 s, lease 1 m 0 s, keep 30 d 0 h, stranded 6 h 0 m\n");
  const std::string later = "consumers that run keep what they began with";
  EXPECT_THAT(run({"feed", "set", "imports", "--backoff", "2m"}).err, HasSubstr(later));
  EXPECT_THAT(run({"feed", "set", "imports", "--keep", "31d"}).err, Not(HasSubstr(later)));
  EXPECT_THAT(run({"feed", "set", "default", "--keep", "1d"}).err,
              HasSubstr("kept as long as the longest of them: imports has 31 d"));
  const auto refused = [&](const Words& words, int status, const std::string& message) {
    const WeirResult result = run(words);
    EXPECT_EQ(result.status, status) << result.err;
    EXPECT_THAT(result.err, HasSubstr(message));
  };
  refused({"feed", "create", "imports"}, 5, "the feed imports is there already");
  refused({"feed", "create", "x", "--sink", "b:a", "--sink", "a"}, 2,
          "b is to follow a, which does not stand before it");
  refused({"feed", "create", "x:y"}, 2, "'x:y' is no name of a feed");
  refused({"feed", "create", "x", "--keep", "1h"}, 2, "--keep");
  refused({"feed", "create", "x", "--keep", "36h"}, 2, "not whole days");
  refused({"feed", "set", "imports"}, 2, "nothing to set was named");
  refused({"feed", "sink", "imports", "a"}, 5, "has the sink a already");
  refused({"feed", "sink", "imports", "c", "--after", "d"}, 3, "has no sink 'd'");
  refused({"feed", "sink", "nowhere", "c"}, 3, "there is no feed 'nowhere'");
  refused({"feed", "pause", "imports", "c"}, 3, "has no sink 'c'");

  EXPECT_EQ(run({"batch", "submit", "--feed", "imports", "--tenant", "t", "--key", "k", "[]"}).status, 0);
  refused({"feed", "drop", "imports"}, 5, "forgets 2 sinks, what is before them (1 batch not applied yet)");
  EXPECT_EQ(run({"feed", "drop", "imports", "--yes"}).out, "dropped the feed imports\n");
  EXPECT_EQ(text("SELECT count(*) FROM weir.batch_step"), "0");
  EXPECT_EQ(document({"batch", "list"}).at("batches").size(), 0U);
  EXPECT_EQ(run({"feed", "create", "bare"}).status, 0);
  refused({"batch", "submit", "--feed", "bare", "--tenant", "t", "--key", "k", "[]"}, 1,
          "has no sink: nobody would ever have the batch");
  refused({"batch", "submit", "--feed", "bare", "--from", "/dev/null"}, 1,
          "weir feed sink bare NAME adds one");
}

TEST_F(CliBatch, ASinkThatIsAddedMissesNothingThatIsStillToCome) {
  for (int i = 0; i < 3; ++i) submit({"--run", "r", "[]"});
  submit({"--run", "r", "--final", "[]"});
  EXPECT_EQ(run({"batch", "submit", "--tenant", "acme", "--key", "open", "--run", "o", "[]"}).status, 0);
  EXPECT_EQ(
      consume("silver", {"--sql", "INSERT INTO silver SELECT run_id * 10 + idx, 'x' FROM weir_batch"}).status,
      0);
  // Follows, and has what comes from now on; all that is kept; a sink of its own, in the middle of a run.
  EXPECT_THAT(run({"feed", "sink", "default", "late", "--after", "gold"}).out,
              HasSubstr("late now after gold: nothing yet before it"));
  EXPECT_THAT(run({"feed", "sink", "default", "all", "--from", "beginning"}).out,
              HasSubstr("5 batches before it"));
  EXPECT_THAT(run({"feed", "sink", "default", "own"}).out, HasSubstr("nothing yet before it"));
  EXPECT_EQ(run({"batch", "submit", "--tenant", "acme", "--key", "open", "--run", "o", "[]"}).status, 0);
  for (const char* const sink : {"silver", "gold", "late", "all", "own"})
    EXPECT_EQ(apply(sink).status, 0) << sink;
  EXPECT_EQ(text("SELECT count(*) FROM weir.batch_step"), "0") << "nobody waits for what he missed";
  const auto of = [&](const std::string& sink) {
    return text("SELECT string_agg(run || idx, ',' ORDER BY run, n) FROM applied WHERE sink = '" + sink +
                "'");
  };
  EXPECT_EQ(of("gold"), "o0,o1,r0,r1,r2,r3");
  EXPECT_EQ(of("late"), "o0,o1,r0,r1,r2,r3");
  EXPECT_EQ(of("all"), "o0,o1,r0,r1,r2,r3");
  EXPECT_EQ(of("own"), "o1");
}

TEST_F(CliBatch, AProducerMaySubmitAndNothingElse) {
  pg::Session admin = session();
  admin.execute_script(
      "DROP ROLE IF EXISTS weir_test_pat; CREATE ROLE weir_test_pat LOGIN; GRANT weir_producer TO "
      "weir_test_pat");
  pg::Session pat = session();
  pat.execute("SET ROLE weir_test_pat");
  pat.execute("SELECT weir.submit_batch('t', 'k', '[]')");
  EXPECT_THROW(pat.execute("SELECT FROM weir.batch"), pg::Error);
  EXPECT_THROW(pat.execute("SELECT weir.fail_batch_run(1, 't', 'k', 1, 'x')"), pg::Error);
  EXPECT_THROW(pat.execute("SELECT weir.retry_batch_run(1, 1)"), pg::Error);

  // The program looks whether the schema is its own: for that its user has to see it.
  admin.execute("GRANT weir_viewer TO weir_test_pat");
  WeirSetup as_pat = setup();
  as_pat.env["PGOPTIONS"] = "-c role=weir_test_pat";
  as_pat.input = R"({"tenant":"t","key":"k","payload":1})";
  EXPECT_EQ(run_weir({"batch", "submit", "--from", "-"}, as_pat).status, 0);
  for (const Words& words :
       {Words{"batch", "show", "1.0"}, {"batch", "lag"}, {"group", "status"}, {"feed", "list"}}) {
    const WeirResult seen = run_weir(words, as_pat);
    EXPECT_EQ(seen.status, 0) << words[0] << words[1] << seen.err;
  }
  for (const Words& words : {Words{"batch", "fail", "1", "--reason", "x"},
                             {"feed", "create", "x"},
                             {"feed", "sink", "default", "x"},
                             {"feed", "set", "default", "--lease", "5s"},
                             {"feed", "pause", "default", "silver"},
                             {"feed", "drop", "default", "--yes"}}) {
    const WeirResult refused = run_weir(words, as_pat);
    EXPECT_NE(refused.status, 0) << words[0] << words[1];
    EXPECT_THAT(refused.err, HasSubstr("permission denied")) << words[1];
  }
  pat.close();
  admin.execute_script("DROP OWNED BY weir_test_pat; DROP ROLE weir_test_pat");
}

}  // namespace
}  // namespace weir::test
