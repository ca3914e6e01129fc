#include <array>
#include <map>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "load/write/care.h"
#include "load/write/schema_change.h"
#include "pg/transaction.h"
#include "support/errors.h"
#include "support/load_test.h"

namespace weir::load {
namespace {

using test::error_of;
using test::has;

class LoadApplyTest : public test::LoadTest {
 protected:
  void SetUp() override {
    LoadTest::SetUp();
    run("CREATE TABLE acct (id int PRIMARY KEY, v int NOT NULL CHECK (v < 100));"
        "INSERT INTO acct SELECT n, n FROM generate_series(1, 10) n");
  }
  static LoadSpec spec(Mode mode, std::int64_t rejects = 0) {
    LoadSpec result{.mode = mode, .columns = {"id", "v"}, .key = {"id"}};
    result.rejects.rows = rejects;
    return result;
  }
  std::vector<RejectRow> rejects(std::int64_t run) {
    pg::Session session = this->session();
    std::vector<RejectRow> all;
    each_reject(session, run, [&](const RejectRow& row) { all.push_back(row); });
    return all;
  }
};

TEST_F(LoadApplyTest, WhatTheServerRefusesIsKnownByItsLineAndStopsTheLoad) {
  const Error check =
      error_of([&] { load("acct", spec(Mode::upsert), "VALUES (1, 1), (2, 22), (3, 333), (4, 4)"); });
  EXPECT_TRUE(has(check.what(), "a.csv, line 3")) << check.what();
  EXPECT_TRUE(has(check.what(), "acct_v_check")) << check.what();
  const Error null = error_of([&] { load("acct", spec(Mode::append), "VALUES (11, NULL::int)"); });
  EXPECT_TRUE(has(null.what(), "line 1, column v: null")) << null.what();
  EXPECT_EQ(rows("SELECT count(*), sum(v) FROM acct"), "10|55");
  EXPECT_EQ(number("SELECT count(*) FROM weir.load_reject"), 0);
}

TEST_F(LoadApplyTest, NothingBehindTheCommitFailsALoad) {
  run("CREATE ROLE load_nobody; REVOKE EXECUTE ON FUNCTION pg_current_wal_insert_lsn() FROM PUBLIC");
  ApplyOptions options;
  // It is the session's with the commit: whatever is asked then is refused.
  options.before_commit = [](pg::Session& session) { session.execute("SET ROLE load_nobody"); };
  EXPECT_EQ(load("acct", spec(Mode::upsert), "VALUES (11, 11)", options).inserted, 1);
  EXPECT_EQ(load("acct", spec(Mode::swap), "SELECT n, n FROM generate_series(2, 12) n", options).inserted,
            11);
  EXPECT_EQ(rows("SELECT min(id), max(id), count(*) FROM acct"), "2|12|11");
  run("DROP ROLE load_nobody");
}

TEST_F(LoadApplyTest, RejectsThatAreAllowedAreKeptWithTheRowsAndCostNoOldRow) {
  const Applied applied =
      load("acct", spec(Mode::refresh, 3),
           "SELECT n, CASE n WHEN 3 THEN NULL WHEN 4 THEN 400 ELSE n + 1 END FROM generate_series(1, 10) n");
  EXPECT_EQ(applied.rejected, 2);
  EXPECT_EQ(applied.updated, 8);
  EXPECT_EQ(applied.deleted, 0);
  EXPECT_EQ(applied.withheld_deletes, 1);
  EXPECT_EQ(rows("SELECT v FROM acct WHERE id IN (3, 4) ORDER BY id"), "3,4");
  const auto all = rejects(number("SELECT max(id) FROM weir.load_run"));
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].line, 3);
  EXPECT_EQ(all[0].column, "v");
  EXPECT_EQ(all[0].raw, R"({"v": null, "id": 3})");
  EXPECT_EQ(all[1].sqlstate, "23514");
}

TEST_F(LoadApplyTest, ARejectOfTheReaderProtectsItsKeyOrAllKeys) {
  const Target acct = target("acct");
  const LoadSpec refresh = spec(Mode::refresh, 5);
  const Stage::Sealed known =
      stage(acct, refresh, "SELECT n, n FROM generate_series(1, 8) n",
            {{.line = 9, .column = "v", .reason = "'x' is no int4", .raw = "9,x", .key_is_staged = true}},
            "VALUES (9, NULL::int)");
  const Applied one = apply(connect(), acct, refresh, known, std::nullopt, {});
  EXPECT_EQ(one.deleted, 1);
  EXPECT_EQ(one.withheld_deletes, 1);
  EXPECT_EQ(rows("SELECT id FROM acct WHERE id > 7 ORDER BY id"), "8,9");
  const Stage::Sealed unknown = stage(acct, refresh, "SELECT n, n FROM generate_series(1, 8) n",
                                      {{.line = 9, .reason = "a quote that is not closed", .raw = "\"9"}});
  const Applied none = apply(connect(), acct, refresh, unknown, std::nullopt, {});
  EXPECT_EQ(none.deleted, 0);
  EXPECT_EQ(none.withheld_deletes, 1);
}

TEST_F(LoadApplyTest, WhatACastWouldCutOrPadIsRefusedAsCopyDoes) {
  run("CREATE DOMAIN cut_v AS varchar(3); CREATE DOMAIN cut_deep AS cut_v; CREATE DOMAIN cut_c AS char(2) "
      "NOT "
      "NULL;"
      "CREATE DOMAIN cut_list AS varchar(3)[]");
  const std::vector<std::array<std::string, 3>> cases{
      {"cut_v", "abc", "abcdef"},     {"cut_deep", "abc", "abcdef"},
      {"cut_c", "ab", "abc"},         {"cut_list", "{abc}", "{abcd}"},
      {"bit(4)", "1010", "101010"},   {"bit(4)", "1010", "10"},
      {"varbit(3)", "10", "1010"},    {"varchar(3)[]", "{abc,d}", "{abcdef}"},
      {"char(2)[]", "{ab}", "{abc}"}, {"bit(3)[]", "{101}", "{1011}"}};
  for (const auto& [type, good, bad] : cases) {
    for (const Mode mode : {Mode::append, Mode::upsert, Mode::refresh, Mode::swap}) {
      SCOPED_TRACE(type + " of " + bad + " by " + std::string(to_string(mode)));
      run("DROP TABLE IF EXISTS cut; CREATE TABLE cut (id int PRIMARY KEY, v " + type + ")");
      LoadSpec into{.mode = mode, .columns = {"id", "v"}, .key = {"id"}};
      const std::string both = "VALUES (1, '" + good + "'), (2, '" + bad + "')";
      const Error error = error_of([&] { load("cut", into, both); });
      EXPECT_EQ(error.exit_code(), ExitCode::refused);
      EXPECT_TRUE(has(error.what(), "line 2, column v: ")) << error.what();
      if (mode == Mode::swap) continue;
      into.rejects.rows = 1;
      EXPECT_EQ(load("cut", into, both).inserted, 1);
      EXPECT_EQ(number("SELECT count(*) FROM cut WHERE id = 1 AND v::text = '" + good + "'"), 1);
      EXPECT_EQ(rows("SELECT sqlstate FROM weir.load_reject"), bad.size() > good.size() && !has(type, "bit(")
                                                                   ? "22001"
                                                               : type == "varbit(3)" ? "22001"
                                                                                     : "22026");
      run("DELETE FROM weir.load_reject");
    }
  }
}

TEST_F(LoadApplyTest, WhatCopyRoundsAndPadsIsNoReject) {
  run("CREATE DOMAIN cut_n AS numeric(5,2); CREATE DOMAIN cut_at AS timestamp(0); CREATE DOMAIN cut_p AS "
      "char(3);"
      "CREATE TABLE cut (id int PRIMARY KEY, n cut_n, at cut_at, p cut_p, ps char(3)[], span interval(0), w "
      "varchar(3)[])");
  const LoadSpec into{.columns = {"id", "n", "at", "p", "ps", "span", "w"}, .key = {"id"}};
  const std::string row =
      "VALUES (1, '1.239', '2026-01-01 10:00:00.7', 'a', '{b}', '1.6 seconds', '{\"ab   \"}')";
  EXPECT_EQ(load("cut", into, row).inserted, 1);
  EXPECT_EQ(rows("SELECT n, at::time, octet_length(p), octet_length(ps[1]), span, length(w[1]) FROM cut"),
            "1.24|10:00:01|3|3|00:00:02|3");
  EXPECT_EQ(load("cut", into, row).unchanged, 1);
}

TEST_F(LoadApplyTest, AKeyThatWouldBeCutIsNoKey) {
  run("CREATE DOMAIN cut_v AS varchar(3); CREATE TABLE cut (k cut_v PRIMARY KEY, v int);"
      "INSERT INTO cut VALUES ('abc', 7), ('xyz', 8)");
  LoadSpec into{.columns = {"k", "v"}, .key = {"k"}};
  into.rejects.rows = 2;
  const Applied applied = load("cut", into, "VALUES ('abcdef', 1), ('abc', 2)");
  EXPECT_EQ(applied.rejected, 1);
  EXPECT_EQ(applied.withheld_deletes, 1) << "whose row it was nobody knows";
  EXPECT_EQ(rows("SELECT k, v FROM cut ORDER BY k"), "abc|2,xyz|8");
  // Also the key of a record that the reader refused.
  const Target cut = target("cut");
  const Stage::Sealed sealed = stage(
      cut, into, "VALUES ('abc', 3)",
      {{.line = 2, .column = "v", .reason = "'x' is no int4", .raw = "abcdef,x", .key_is_staged = true}},
      "VALUES ('abcdef', NULL::int)");
  EXPECT_EQ(apply(connect(), cut, into, sealed, std::nullopt, {}).withheld_deletes, 1);
  EXPECT_EQ(rows("SELECT k, v FROM cut ORDER BY k"), "abc|3,xyz|8");
}

TEST_F(LoadApplyTest, TheLastRecordOfAKeyCountsAlsoWhereItIsRefused) {
  for (const Mode mode : {Mode::refresh, Mode::upsert}) {
    for (const bool refuses_duplicates : {false, true}) {
      run("TRUNCATE acct; INSERT INTO acct VALUES (1, 50)");
      LoadSpec into = spec(mode, 2);
      into.reject_duplicates = refuses_duplicates;
      const Target acct = target("acct");
      const Stage::Sealed sealed = stage(
          acct, into, "VALUES (1, 10)",
          {{.line = 2, .column = "v", .reason = "'zz' is no int4", .raw = "1,zz", .key_is_staged = true}},
          "VALUES (1, NULL::int)");
      // It came behind the record that is good.
      run("UPDATE " + sealed.table.sql + " SET " + sealed.table.line + " = 2 WHERE v IS NULL");
      const Applied applied = apply(connect(), acct, into, sealed, std::nullopt, {});
      EXPECT_EQ(applied.duplicates, 1);
      EXPECT_EQ(rows("SELECT id, v FROM acct"), "1|50");
      // One that the server would not take is no other.
      run("DELETE FROM acct; INSERT INTO acct VALUES (1, 50)");
      load("acct", into, "VALUES (1, 10), (1, NULL::int)");
      EXPECT_EQ(rows("SELECT id, v FROM acct"), "1|50");
      load("acct", into, "VALUES (1, NULL::int), (1, 10)");
      EXPECT_EQ(rows("SELECT id, v FROM acct"), "1|10");
    }
  }
}

TEST_F(LoadApplyTest, OrphansAreFoundInTheStage) {
  run("CREATE TABLE child (id int PRIMARY KEY, acct int REFERENCES acct)");
  LoadSpec child{.mode = Mode::append, .columns = {"id", "acct"}, .key = {"id"}};
  child.rejects.rows = 1;
  EXPECT_EQ(load("child", child, "VALUES (1, 1), (2, 77), (3, NULL)").inserted, 2);
  const auto all = rejects(number("SELECT max(id) FROM weir.load_run"));
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].sqlstate, "23503");
}

TEST_F(LoadApplyTest, StateMovesWithTheRowsAndFencesTheSlow) {
  const Target acct = target("acct");
  const LoadSpec append = spec(Mode::append);
  pg::Session session = this->session();
  const State before = read_state(session, "p", "s");
  EXPECT_EQ(before.seq, 0);
  const auto first = stage(acct, append, "VALUES (11, 1)");
  apply(connect(), acct, append, first, StateChange{before, R"({"at": 11})"}, {});
  const auto second = stage(acct, append, "VALUES (12, 1)");
  EXPECT_EQ(error_of([&] {
              apply(connect(), acct, append, second, StateChange{before, R"({"at": 12})"}, {});
            }).exit_code(),
            ExitCode::refused);
  State now = read_state(session, "p", "s");
  EXPECT_EQ(now.seq, 1);
  EXPECT_EQ(now.json, R"({"at": 11})");
  apply(connect(), acct, append, second, StateChange{now, ""}, {});
  now = read_state(session, "p", "s");
  EXPECT_EQ(now.seq, 2);
  EXPECT_EQ(now.json, R"({"at": 11})");
  EXPECT_EQ(number("SELECT count(*) FROM acct"), 12);
}

TEST_F(LoadApplyTest, ASwapKeepsViewsRightsAndNames) {
  run("CREATE TABLE big (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, s serial, v text DEFAULT 'x'); "
      "CREATE INDEX odd_name ON big (v);"
      "INSERT INTO big SELECT n, n, 'v' || n FROM generate_series(1, 10) n; COMMENT ON TABLE big IS 'mine';"
      "SELECT setval('big_id_seq', 500); CREATE VIEW over AS SELECT id, v FROM big; CREATE VIEW above AS "
      "SELECT count(*) AS n FROM over;"
      "GRANT SELECT ON big, over TO PUBLIC; ALTER TABLE big SET (fillfactor = 70)");
  const LoadSpec swap{.mode = Mode::swap, .columns = {"id", "v"}, .key = {"id"}};
  const auto before = number("SELECT 'big'::regclass::oid::int8");
  const Applied applied = load("big", swap, "SELECT n, 'w' || n FROM generate_series(1, 9) n");
  EXPECT_EQ(applied.strongest_lock, LockMode::access_exclusive);
  EXPECT_NE(number("SELECT 'big'::regclass::oid::int8"), before);
  EXPECT_EQ(rows("SELECT n FROM above"), "9");
  EXPECT_EQ(rows("SELECT v FROM over WHERE id = 3"), "w3");
  EXPECT_EQ(rows("SELECT indexname FROM pg_indexes WHERE tablename = 'big' ORDER BY 1"), "big_pkey,odd_name");
  EXPECT_EQ(
      rows("SELECT reloptions, obj_description(oid), relacl IS NOT NULL FROM pg_class WHERE relname = 'big'"),
      "{fillfactor=70}|mine|t");
  EXPECT_EQ(number("SELECT count(*) FROM information_schema.role_table_grants WHERE grantee = 'PUBLIC' AND "
                   "table_name IN ('big', 'over')"),
            2);
  run("INSERT INTO big DEFAULT VALUES");
  EXPECT_EQ(rows("SELECT max(id), count(DISTINCT s) FROM big"), "501|10");
}

TEST_F(LoadApplyTest, ASwapGivesUpWithTheNamesOfThoseInTheWay) {
  pg::Session reader = session();
  pg::Transaction transaction(reader);
  reader.execute("SELECT count(*) FROM acct");
  ApplyOptions options;
  options.swap_attempts = 2;
  const Error error =
      error_of([&] { load("acct", spec(Mode::swap), "SELECT n, n FROM generate_series(1, 10) n", options); });
  EXPECT_TRUE(has(error.what(), "SELECT count(*) FROM acct")) << error.what();
  EXPECT_EQ(number("SELECT count(*) FROM pg_class WHERE relname LIKE 'new\\_%'"), 0);
  transaction.rollback();
  load("acct", spec(Mode::swap), "SELECT n, 9 FROM generate_series(1, 10) n");
  EXPECT_EQ(number("SELECT sum(v) FROM acct"), 90);
}

TEST_F(LoadApplyTest, APartitionIsSwapped) {
  run("CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);"
      "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100); CREATE TABLE p2 PARTITION OF p FOR "
      "VALUES FROM (100) TO (200);"
      "INSERT INTO p SELECT n, 'a' FROM generate_series(1, 199) n");
  LoadSpec swap{.mode = Mode::partition_swap, .columns = {"id", "v"}, .key = {"id"}, .partition = "p1"};
  load("p", swap, "SELECT n, 'b' FROM generate_series(1, 99) n");
  EXPECT_EQ(rows("SELECT v, count(*) FROM p GROUP BY v ORDER BY v"), "a|100,b|99");
  EXPECT_EQ(number("SELECT count(*) FROM pg_constraint WHERE conname = 'weir_bound'"), 0);
  EXPECT_NE(error_of([&] { load("p", swap, "SELECT n, 'b' FROM generate_series(1, 101) n"); }).exit_code(),
            ExitCode::ok);
  EXPECT_EQ(rows("SELECT v, count(*) FROM p GROUP BY v ORDER BY v"), "a|100,b|99");
}

TEST_F(LoadApplyTest, AStageIsTakenUpWhereItsRunEnded) {
  const Target acct = target("acct");
  const LoadSpec append = spec(Mode::append);
  pg::Session session = this->session();
  const std::int64_t run_id = begin_run(session, {.source = "a.csv", .fingerprint = "f"}, acct, Mode::append);
  const auto chunk = [&](Stage& stage, std::int64_t n) {
    pg::Session source = this->session();
    pg::CopyOut out(source, "COPY (SELECT 100 + " + std::to_string(n) + ", 1, 1::int8, " + std::to_string(n) +
                                "::int8) TO STDOUT (FORMAT binary)");
    StageChunk piece(session, stage, n);
    while (const auto bytes = out.next()) piece.write(*bytes);
    piece.commit("{\"at\": " + std::to_string(n) + "}");
  };
  {
    pg::Session holder = this->session();
    Stage stage = Stage::open(holder, acct, append, run_id);
    EXPECT_FALSE(stage.resume());
    chunk(stage, 0);
    chunk(stage, 1);
    chunk(stage, 3);  // 2 was under way elsewhere when the process died
    pg::Session other = this->session();
    EXPECT_EQ(error_of([&] { Stage::open(other, acct, append, run_id); }).exit_code(), ExitCode::refused);
    EXPECT_THROW(stage.seal(session, 4), Error);
  }
  EXPECT_EQ(find_resumable(session, "f"), run_id);
  pg::Session holder = this->session();
  Stage stage = Stage::open(holder, acct, append, run_id);
  ASSERT_TRUE(stage.resume());
  EXPECT_EQ(stage.resume()->chunk, 1);
  EXPECT_EQ(stage.resume()->position, R"({"at": 1})");
  chunk(stage, 2);
  const Stage::Sealed sealed = stage.seal(session, 3);
  EXPECT_EQ(apply(connect(), acct, append, sealed, std::nullopt, {}).inserted, 3);
  EXPECT_FALSE(find_resumable(session, "f"));
  // As after a crash of the server: UNLOGGED tables are empty.
  session.execute("TRUNCATE weir.load_chunk, weir.load_stage_reject");
  EXPECT_EQ(error_of([&] { apply(connect(), acct, append, sealed, std::nullopt, {}); }).exit_code(),
            ExitCode::failed);
}

TEST_F(LoadApplyTest, AMissingTableIsMadeAndDriftIsFollowed) {
  pg::Session session = this->session();
  create_table(session, parse_table_name("fresh"),
               {{"Id", type_of(Base::int4), false}, {"v", type_of(Base::text), false}}, {"Id"});
  const Target fresh = target("fresh");
  ASSERT_NE(fresh.primary_key(), nullptr);
  evolve(session, fresh,
         {.added = {{"more", type_of(Base::jsonb), false}}, .widened = {{"Id", type_of(Base::int8), false}}});
  EXPECT_EQ(target("fresh").column("Id")->type.sql, "bigint");
  EXPECT_NE(target("fresh").column("more"), nullptr);
  EXPECT_TRUE(has(rows("SELECT reloptions FROM pg_class WHERE relname = 'fresh'"), "vacuum_truncate=off"));
  const CareReport care = take_care(session, fresh, 100);
  EXPECT_TRUE(care.vacuumed) << care.skipped;
}

TEST_F(LoadApplyTest, AFewDeadRowsAmongManyAreLeftToAutovacuum) {
  run("CREATE TABLE many (id int PRIMARY KEY); INSERT INTO many SELECT generate_series(1, 1000); ANALYZE "
      "many");
  pg::Session session = this->session();
  EXPECT_FALSE(take_care(session, target("many"), 50).vacuumed);
  EXPECT_TRUE(take_care(session, target("many"), 150).vacuumed);
}

TEST_F(LoadApplyTest, AnIndexIsCalledThinOnlyWhereItIs) {
  pg::Session session = this->session();
  run("CREATE TABLE dense (id int PRIMARY KEY) WITH (autovacuum_enabled = false)");
  run("INSERT INTO dense SELECT generate_series(1, 50000)");
  EXPECT_TRUE(take_care(session, target("dense"), 0).advice.empty()) << "nothing is known of it yet";
  run("ANALYZE dense");
  run("INSERT INTO dense SELECT generate_series(50001, 500000)");
  EXPECT_TRUE(take_care(session, target("dense"), 0).advice.empty()) << "it grew since the last ANALYZE";
  run("DELETE FROM dense WHERE id % 20 <> 0");
  run("VACUUM (ANALYZE) dense");
  EXPECT_EQ(take_care(session, target("dense"), 0).advice.size(), 1U);
}

TEST_F(LoadApplyTest, EveryModeDoesWhatAMapDoes) {
  run("CREATE TABLE model (id int PRIMARY KEY, w int, v int)");
  using Rows = std::map<int, std::pair<int, int>>;
  const auto as_values = [](const Rows& all) {
    std::string text;
    for (const auto& [id, wv] : all)
      text += (text.empty() ? "VALUES (" : ", (") + std::to_string(id) + ", " + std::to_string(wv.first) +
              ", " + std::to_string(wv.second) + ")";
    return text.empty() ? std::string("SELECT 1, 1, 1 WHERE false") : text;
  };
  const auto content = [&] { return rows("SELECT id, w, v FROM model ORDER BY id"); };
  const bool good = rc::check([&] {
    const auto gen =
        rc::gen::map(rc::gen::container<std::vector<std::tuple<int, int, int>>>(rc::gen::tuple(
                         rc::gen::inRange(0, 12), rc::gen::inRange(0, 6), rc::gen::inRange(0, 3))),
                     [](const std::vector<std::tuple<int, int, int>>& all) {
                       Rows made;
                       for (const auto& [id, w, v] : all) made[id] = {w, v};
                       return made;
                     });
    const Rows old_rows = *gen;
    Rows new_rows = *gen;
    const int mode = *rc::gen::inRange(0, 4);
    LoadSpec spec{.mode = Mode::refresh, .columns = {"id", "w", "v"}, .key = {"id"}};
    spec.guard.allow_mass_delete = spec.guard.allow_empty = true;
    Rows expected;
    if (mode == 0) {
      expected = new_rows;
    } else if (mode == 1) {
      spec.key.clear();
      expected = new_rows;
    } else if (mode == 2) {
      spec.mode = Mode::upsert;
      expected = old_rows;
      for (const auto& [id, wv] : new_rows) expected[id] = wv;
    } else {
      spec.mode = Mode::window;
      spec.window = {"w", "2", "4"};
      std::erase_if(new_rows, [](const auto& row) { return row.second.first < 2 || row.second.first >= 4; });
      for (const auto& row : old_rows) {
        if (row.second.first < 2 || row.second.first >= 4) expected.insert(row);
      }
      for (const auto& [id, wv] : new_rows) expected[id] = wv;
    }
    run("DELETE FROM model; INSERT INTO model " + as_values(old_rows));
    load("model", spec, as_values(new_rows));
    const std::string got = content();
    run("DELETE FROM model; INSERT INTO model " + as_values(expected));
    RC_ASSERT(got == content());
  });
  EXPECT_TRUE(good);
}

}  // namespace
}  // namespace weir::load
