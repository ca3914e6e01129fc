// Tables that cannot become streams, or not now: each with what to do about it.

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "stream_adopt_fixture.h"
#include "support/waiting.h"

namespace weir::stream {
namespace {

using namespace std::chrono_literals;
using test::error_of;
using ::testing::HasSubstr;
using Step = AdoptStep;

class StreamAdoptRefusalTest : public StreamAdoptFixture {};

TEST_F(StreamAdoptRefusalTest, WhatCannotBeAStreamIsRefusedWithARemedy) {
  const std::string id = "id bigint PRIMARY KEY, ";
  one_->execute_script(
      "CREATE TABLE t (" + id +
      "at timestamptz NOT NULL, note text);"
      "CREATE VIEW a_view AS SELECT * FROM t; CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM t;"
      "CREATE TEMPORARY TABLE a_temp (" +
      id +
      "at timestamptz NOT NULL);"
      "CREATE UNLOGGED TABLE unlogged (" +
      id +
      "at timestamptz NOT NULL);"
      "CREATE TABLE child () INHERITS (t); CREATE TABLE parted (" +
      id +
      "at timestamptz NOT NULL) PARTITION BY "
      "RANGE (id); CREATE TABLE part PARTITION OF parted DEFAULT;"
      "CREATE TABLE hidden (" +
      id +
      "at timestamptz NOT NULL); ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;"
      "CREATE TABLE no_id (name text, n bigint, at timestamptz NOT NULL);"
      "CREATE TABLE two_ids (a bigint NOT NULL UNIQUE, b bigint NOT NULL UNIQUE, at timestamptz NOT NULL);"
      "CREATE TABLE no_at (" +
      id +
      "at timestamp NOT NULL);"
      "CREATE TABLE null_at (" +
      id +
      "\"At\" timestamptz);"
      "CREATE TABLE two_at (" +
      id +
      "at timestamptz NOT NULL, made timestamptz NOT NULL, doc text);"
      "CREATE TABLE mine (" +
      id +
      "at timestamptz NOT NULL, weir_xid xid8);"
      "CREATE TABLE touched (" +
      id +
      "at timestamptz NOT NULL);"
      "CREATE TRIGGER touch BEFORE UPDATE ON touched FOR EACH ROW EXECUTE FUNCTION "
      "suppress_redundant_updates_trigger();"
      "CREATE TABLE cascaded (" +
      id +
      "at timestamptz NOT NULL, parent bigint CONSTRAINT loose REFERENCES touched ON "
      "DELETE SET NULL);");
  struct Refusal {
    std::string table;
    std::string message;
    std::string remedy;
    AdoptRequest request{};
  };
  const std::vector<Refusal> all{
      {"nothing", "there is no table nothing", "weir stream create makes a new one"},
      {"touchd", "there is no table touchd", "Did you mean touched?"},
      {"a b", "'a b' is no name of a table", "\"Odd name\""},
      {"a_view", "public.a_view is a view", "Adopt the table behind it."},
      {"a_matview", "public.a_matview is a view", "Adopt the table behind it."},
      {"a_temp", "is temporary", "Adopt an ordinary table."},
      {"unlogged", "public.unlogged is unlogged", "ALTER TABLE \"public\".\"unlogged\" SET LOGGED;"},
      {"child", "public.child belongs to another table by INHERITS", "NO INHERIT"},
      {"t", "public.t has other tables below it by INHERITS", "NO INHERIT"},
      {"part", "public.part is a partition", "Adopt the partitioned table."},
      {"hidden", "public.hidden has row-level security", "DISABLE ROW LEVEL SECURITY"},
      {"weir.job", "weir.job is not a table of yours", "your programs"},
      {"no_id", "public.no_id has no column that tells rows apart", "not null and unique: \"n\""},
      {"no_id", "n of public.no_id may be null", "ALTER COLUMN \"n\" SET NOT NULL", {.id = "n"}},
      {"no_id", "name of public.no_id is text", "bigint, integer or smallint", {.id = "name"}},
      {"no_id",
       "public.no_id has no column nope for --id",
       "It has: \"name\", \"n\", \"at\".",
       {.id = "nope"}},
      {"two_ids", "has several columns that tell rows apart", "--id COLUMN, one of \"a\", \"b\"."},
      {"no_at", "has no column for the time of an event", "ADD COLUMN at timestamptz NOT NULL DEFAULT now()"},
      {"no_at", "at of public.no_at is timestamp without time zone", "a column of that type", {.at = "at"}},
      {"null_at", "the column At of public.null_at may be null", "CHECK (\"At\" IS NOT NULL) NOT VALID"},
      {"two_at", "several columns that could be the time", "--at COLUMN, one of \"at\", \"made\"."},
      {"two_at", "doc of public.two_at is text", "Leave --payload out", {.at = "at", .payload = "doc"}},
      {"mine", "has a column weir_xid that no adoption made", "DROP COLUMN weir_xid;"},
      {"touched", "looks as if its rows were updated (trigger touch)", "--append-only"},
      {"cascaded", "(foreign key loose)", "weir consume works through a table that stays as it is"},
  };
  for (const Refusal& one : all) {
    const std::string said = refusal(one.table, one.request);
    EXPECT_THAT(said, HasSubstr(one.message)) << one.table;
    EXPECT_THAT(said, HasSubstr(one.remedy)) << one.table;
  }
  EXPECT_EQ(number("SELECT count(*) FROM pg_attribute WHERE attname = 'weir_xid' AND attnum > 0"), 1);
  EXPECT_EQ(adopt({}, {.table = "touched", .append_only = true}).events, 0);
  EXPECT_THAT(refusal("touched"), HasSubstr("public.touched is the stream touched already"));
  one_->execute_script(
      "CREATE SCHEMA first; CREATE TABLE first.touched (id bigint PRIMARY KEY, at timestamptz NOT NULL)");
  one_->execute("SET search_path = first, public");
  EXPECT_THAT(refusal("touched"), HasSubstr("Write the table with its schema: first.touched"));
}

TEST_F(StreamAdoptRefusalTest, UpdatesThatTheServerCountedAreASign) {
  make(kPlain, 3);
  session().execute("UPDATE events SET n = 1");  // it tells its figures at its end
  test::wait_until([&] { return number("SELECT pg_stat_get_tuples_updated('events'::regclass)") > 0; },
                   "the server's statistics");
  EXPECT_THAT(refusal("events"), HasSubstr("(3 updates of its rows were counted)"));
  EXPECT_EQ(adopt({}, {.table = "events", .append_only = true}).events, 3);
}

TEST_F(StreamAdoptRefusalTest, SomebodyElsesTableIsRefused) {
  make(kPlain, 1);
  one_->execute_script(
      "DROP ROLE IF EXISTS weir_test_ada; CREATE ROLE weir_test_ada; GRANT weir_worker TO weir_test_ada");
  one_->execute("SET ROLE weir_test_ada");
  const std::string not_owner = refusal("events");
  one_->execute("RESET ROLE");
  one_->execute("ALTER TABLE events OWNER TO weir_test_ada");
  one_->execute("SET ROLE weir_test_ada");
  const std::string no_maker = refusal("events");
  one_->execute("RESET ROLE");
  ASSERT_THAT(no_maker, HasSubstr("user weir_test_ada may not make streams | GRANT weir_worker TO"));
  one_->execute_script(no_maker.substr(no_maker.find("GRANT")));
  one_->execute("SET ROLE weir_test_ada");
  const std::string no_index = refusal("events");
  one_->execute("RESET ROLE");
  EXPECT_THAT(no_index, HasSubstr("may not make an index in the schema public | GRANT CREATE ON SCHEMA"));
  one_->execute("GRANT CREATE ON SCHEMA public TO weir_test_ada");
  {
    pg::Session ada = session();
    ada.execute("SET ROLE weir_test_ada");
    EXPECT_EQ(adopt_stream(ada, {.table = "events"}).events, 1);
  }
  one_->execute_script("DROP OWNED BY weir_test_ada CASCADE; DROP ROLE weir_test_ada");
  EXPECT_THAT(not_owner, HasSubstr("user weir_test_ada does not own public.events"));
}

TEST_F(StreamAdoptRefusalTest, OneAtATime) {
  make(kPlain, 1);
  AdoptOptions options;
  options.on_step = [&](const Step&) {
    const Error second = error_of([&] { adopt(); });
    EXPECT_EQ(second.exit_code(), ExitCode::refused);
    EXPECT_THAT(second.what(), HasSubstr("somebody is adopting public.events already"));
  };
  adopt(options);
  EXPECT_THAT(error_of([&] { adopt(); }).what(), HasSubstr("is the stream events already"));
}

TEST_F(StreamAdoptRefusalTest, ATableInUseIsGivenUpAfterAWhile) {
  make(kPlain, 1);
  pg::Session reader = session();
  reader.execute("BEGIN");
  reader.execute("SELECT FROM events");
  const Error busy = error_of([&] { adopt({.lock_timeout = 10ms, .patience = 300ms}); });
  EXPECT_EQ(busy.exit_code(), ExitCode::database);
  EXPECT_THAT(busy.what(), HasSubstr("public.events was in use all the time"));
  reader.execute("COMMIT");
  EXPECT_EQ(adopt().events, 1);
}

TEST_F(StreamAdoptRefusalTest, NumbersOfAnotherServerAreFound) {
  make(kPlain, 5);
  adopt_up_to(2);
  // As a dump would bring it along.
  one_->execute_script(
      "ALTER TABLE events DROP CONSTRAINT weir_xid_is_not_written; INSERT INTO events (n, weir_xid) VALUES "
      "(1, "
      "'4000000000'); ALTER TABLE events ADD CONSTRAINT weir_xid_is_not_written CHECK (weir_xid = "
      "pg_current_xact_id()) NOT VALID");
  const Error refused = error_of([&] { adopt(); });
  EXPECT_EQ(refused.exit_code(), ExitCode::refused);
  EXPECT_THAT(refused.what(), HasSubstr("another server's transactions"));
  one_->execute("ALTER TABLE events DROP COLUMN weir_xid");
  EXPECT_EQ(adopt().events, 6);
}

}  // namespace
}  // namespace weir::stream
