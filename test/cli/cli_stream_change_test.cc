// Streams and groups that are changed: set back, paused, looked into, set, dropped.
#include <sstream>

#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "cli_stream_fixture.h"
#include "support/waiting.h"

namespace weir::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Words = std::vector<std::string>;
using nlohmann::json;

TEST_F(CliStream, SeekReplacesAndReplayAdds) {
  make();
  // One chunk over three hours, so that times cut through it.
  session().execute_script(
      "BEGIN; INSERT INTO events (at, key, payload) SELECT date_trunc('day', now() AT TIME ZONE 'UTC') AT "
      "TIME ZONE "
      "'UTC' + n * interval '1 hour', 'k', jsonb_build_object('n', n) FROM generate_series(0, 2) n; COMMIT");
  session().execute("ALTER TABLE effect DROP CONSTRAINT effect_pkey");
  make_group("all");
  const auto hour = [&](int n) {
    return session()
        .execute(
            "SELECT to_char(date_trunc('day', now() AT TIME ZONE 'UTC') + $1::int4 * interval '1 hour', "
            "'YYYY-MM-DD HH24:MI') || 'Z'",
            n)[0]
        .get<std::string>(0);
  };
  const auto had = [&] {
    EXPECT_EQ(
        consume("all", {"--sql", "INSERT INTO effect SELECT (payload->>'n')::int FROM weir_chunk"}).status,
        0);
    const std::string all =
        session()
            .execute("SELECT coalesce(string_agg(id::text, ',' ORDER BY id), '') FROM effect")[0]
            .get<std::string>(0);
    session().execute("TRUNCATE effect");
    return all;
  };
  EXPECT_EQ(had(), "");
  EXPECT_THAT(run({"seek", "events", "--group", "all", "--to", "beginning"}).out,
              HasSubstr("about 3 events are before"));
  EXPECT_EQ(run({"peek", "events", "--group", "all", "--json", "-n", "2"}).out.find(R"("n":0)") !=
                std::string::npos,
            true);
  EXPECT_EQ(had(), "0,1,2");
  ASSERT_EQ(run({"seek", "events", "--group", "all", "--to", hour(1)}).status, 0);
  EXPECT_EQ(had(), "1,2");
  ASSERT_EQ(run({"seek", "events", "--group", "all", "--to", "beginning"}).status, 0);
  EXPECT_THAT(run({"seek", "events", "--group", "all", "--to", "end"}).out,
              HasSubstr("nothing is before the group all"));
  EXPECT_EQ(had(), "");
  EXPECT_EQ(document({"replay", "events", "--group", "all", "--from", hour(1), "--to", hour(2)}).at("events"),
            1);
  EXPECT_EQ(had(), "1");
  EXPECT_EQ(run({"replay", "events", "--group", "all", "--from", hour(1)}).status, 0);
  EXPECT_EQ(had(), "1,2");
  // What waits already does not come twice.
  ASSERT_EQ(run({"seek", "events", "--group", "all", "--to", hour(2)}).status, 0);
  ASSERT_EQ(run({"replay", "events", "--group", "all", "--from", hour(1), "--to", "end"}).status, 0);
  EXPECT_EQ(had(), "1,2");
  ASSERT_EQ(run({"seek", "events", "--group", "all", "--to", hour(1)}).status, 0);
  ASSERT_EQ(run({"replay", "events", "--group", "all", "--from", "beginning", "--to", hour(2)}).status, 0);
  EXPECT_EQ(had(), "0,1,2");
  ASSERT_EQ(run({"seek", "events", "--group", "all", "--to", "beginning"}).status, 0);
  EXPECT_EQ(
      document({"replay", "events", "--group", "all", "--from", "beginning", "--to", hour(1)}).at("events"),
      0);
  EXPECT_EQ(had(), "0,1,2");
}

TEST_F(CliStream, AGroupThatIsPausedGetsNothing) {
  make();
  make_group("all");
  EXPECT_EQ(run({"pause", "events", "--group", "all"}).out, "all of events is paused\n");
  EXPECT_EQ(run({"pause", "events", "--group", "all"}).out, "all of events was already paused\n");
  insert(5);
  WeirProgram program({"stream", "consume", "events", "--group", "all", "--sql", kEffect}, setup());
  EXPECT_THAT(program.wait_for_error("is paused"), HasSubstr("weir stream resume events --group all"));
  wait_until([&] { return group("all").at("waiting") == 5; }, "the chunk");
  EXPECT_THAT(run({"lag", "events"}).out, HasSubstr("all (paused)"));
  EXPECT_EQ(document({"resume", "events", "--group", "all"}).at("changed"), true);
  wait_until([&] { return number("SELECT count(*) FROM effect") == 5; }, "the effects");
}

TEST_F(CliStream, PeekConsumesNothing) {
  make();
  insert(12);
  make_group("all");
  EXPECT_THAT(run({"peek", "events", "-n", "1"}).out,
              AllOf(HasSubstr("12"), HasSubstr(R"({"n": 12})"), Not(HasSubstr("11}"))));
  const WeirResult keyed = run({"peek", "events", "--key", "k0", "--json"});
  std::istringstream lines(keyed.out);
  std::string line;
  std::getline(lines, line);
  const json event = json::parse(line);
  EXPECT_EQ(event.at("key"), "k0");
  EXPECT_EQ(event.at("id"), "7");
  EXPECT_EQ(event.at("payload").at("n"), 7);
  EXPECT_FALSE(std::getline(lines, line));
  EXPECT_THAT(run({"peek", "events", "--key", "nobody"}).err, HasSubstr("no event has that key"));
  EXPECT_THAT(run({"peek", "events", "--group", "all"}).err, HasSubstr("nothing is before the group all"));
}

TEST_F(CliStream, SettingsChangeAndRetentionIsTold) {
  make();
  insert(5);
  make_group("slow");
  ASSERT_EQ(run({"seek", "events", "--group", "slow", "--to", "beginning"}).status, 0);
  const WeirResult set =
      run({"set", "events", "--retain", "1d", "--retain-size", "none", "--hold", "3d", "--ahead", "5"});
  EXPECT_EQ(set.status, 0) << set.err;
  EXPECT_EQ(set.out, "events: ahead 5, retain 1 d 0 h, retain-size none, hold 3 d 0 h, chunk 1,000\n");
  ASSERT_EQ(run({"set", "events", "--hold", "30000d"}).status, 0);
  session().execute_script(
      "CREATE TABLE events_old PARTITION OF events FOR VALUES FROM ('2020-01-01 00:00Z') TO ('2020-01-02 "
      "00:00Z')");
  insert(2, "'2020-01-01 05:00Z'");
  make_group("fast");  // and they are cut, and before the slow one
  const json shown = document({"show", "events"});
  ASSERT_EQ(shown.at("leaving").size(), 1U);
  EXPECT_EQ(shown.at("leaving").at(0).at("partition"), "events_old");
  EXPECT_EQ(shown.at("leaving").at(0).at("held_by"), json::parse(R"([{"group": "slow", "events": 2}])"));
  EXPECT_THAT(run({"show", "events"}).out, HasSubstr("expired, held by slow (2 events)"));
  EXPECT_THAT(run({"keep", "events"}).out,
              HasSubstr("events_old stays: the group slow has 2 events of it before it"));
  ASSERT_EQ(run({"set", "events", "--hold", "3d"}).status, 0);
  EXPECT_THAT(run({"show", "events"}).out, HasSubstr("goes next, consumed or not"));
  const json kept = document({"keep", "events"});
  EXPECT_EQ(kept.at("dropped"), json({"events_old"}));
  EXPECT_EQ(kept.at("lost"), 2);
  EXPECT_EQ(group("slow").at("lost"), 2);
  EXPECT_EQ(run({"keep", "events"}).out, "nothing to do\n");
  EXPECT_EQ(run({"set", "events", "--retain", "none"}).out,
            "events: ahead 5, retain none, retain-size none, hold 3 d 0 h, chunk 1,000\n");
}

TEST_F(CliStream, DroppedOnlyWhenThatIsMeant) {
  make();
  insert(5);
  make_group("one");
  make_group("two");
  const WeirResult asked = run({"drop", "events"});
  EXPECT_EQ(asked.status, 5);
  EXPECT_THAT(asked.err, AllOf(HasSubstr("drops the table public.events"), HasSubstr("forgets 2 groups"),
                               HasSubstr("--yes")));
  const WeirResult one = run({"drop", "events", "--group", "one"});
  EXPECT_EQ(one.status, 5);
  EXPECT_THAT(one.err, HasSubstr("dropping the group one forgets how far it is"));
  EXPECT_EQ(run({"drop", "events", "--group", "one", "--yes"}).out,
            "dropped the group one of the stream events\n");
  EXPECT_EQ(document({"show", "events"}).at("groups").size(), 1U);
  EXPECT_EQ(run({"drop", "events", "--keep-table", "--yes"}).out,
            "events is a stream no more; its table public.events stays\n");
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream") + number("SELECT count(*) FROM weir.stream_chunk"), 0);
  session().execute("UPDATE events SET key = 'changed', xid = '7'");
  EXPECT_EQ(number("SELECT count(*) FROM events WHERE key = 'changed'"), 5);

  ASSERT_EQ(run({"create", "app"}).status, 0);
  session().execute("DROP TABLE app");
  EXPECT_THAT(run({"list"}).out, HasSubstr("gone"));
  const WeirResult gone = run({"show", "app"});
  EXPECT_EQ(gone.status, 3);
  EXPECT_THAT(gone.err,
              AllOf(HasSubstr("of the stream app is gone"), HasSubstr("weir stream drop app --yes")));
  EXPECT_EQ(run({"drop", "app", "--yes"}).status, 0);
}

}  // namespace
}  // namespace weir::test
