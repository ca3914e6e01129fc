// What a swap keeps of the table that it replaces, and what it refuses to lose.
#include <gtest/gtest.h>

#include "load/write/schema_change.h"
#include "load/write/waiting.h"
#include "pg/transaction.h"
#include "support/errors.h"
#include "support/load_test.h"

namespace weir::load {
namespace {

using test::error_of;
using test::has;

class LoadSwapTest : public test::LoadTest {
 protected:
  void SetUp() override {
    LoadTest::SetUp();
    run("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT n, 'a' FROM generate_series(1, 9) "
        "n");
  }

  static LoadSpec spec(Mode mode = Mode::swap) {
    return {.mode = mode, .columns = {"id", "v"}, .key = {"id"}, .partition = mode == Mode::swap ? "" : "p1"};
  }
  Applied swap(const ApplyOptions& options = {}) {
    return load("t", spec(), "SELECT n, 'b' FROM generate_series(1, 9) n", options);
  }
  /// "refused: reason": what a dry run would say too.
  std::string refusal(const std::string& table = "t", const LoadSpec& wanted = spec()) {
    const Plan plan = make_plan(target(table, wanted.partition), wanted, {.sql = "stage"}, 150000);
    return plan.refusals.empty() ? "" : plan.refusals.front().reason;
  }
  /// Who may do what, given by whom.
  std::string rights(const std::string& relation) {
    return rows(
        "SELECT x.grantee::regrole::text, string_agg(x.privilege_type || CASE WHEN is_grantable THEN '*' "
        "ELSE '' "
        "END, ' ' ORDER BY x.privilege_type), x.grantor::regrole::text FROM pg_class c, aclexplode(coalesce("
        "c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", c.relowner))) x "
        "WHERE c.oid = '" +
        relation + "'::regclass GROUP BY 1, 3 ORDER BY 1, 3");
  }
  std::string column_rights(const std::string& relation) {
    return rows(
        "SELECT a.attname::text, x.grantee::regrole::text, x.privilege_type, x.grantor::regrole::text FROM "
        "pg_attribute a, aclexplode(a.attacl) x WHERE a.attrelid = '" +
        relation + "'::regclass ORDER BY 1, 2, 3");
  }
};

/// Roles belong to the whole server.
class LoadSwapRightsTest : public LoadSwapTest {
 protected:
  void SetUp() override {
    LoadSwapTest::SetUp();
    drop_roles();
    run("CREATE ROLE weir_swap_ann; CREATE ROLE weir_swap_bob; CREATE ROLE weir_swap_owner;"
        "GRANT CREATE, USAGE ON SCHEMA public TO weir_swap_ann, weir_swap_owner");
  }
  void TearDown() override {
    // What was granted by another than the owner DROP OWNED does not know.
    run("DROP TABLE IF EXISTS t CASCADE");
    drop_roles();
    LoadSwapTest::TearDown();
  }
  void drop_roles() {
    for (const std::string role : {"weir_swap_bob", "weir_swap_ann", "weir_swap_owner"}) {
      if (number("SELECT count(*) FROM pg_roles WHERE rolname = '" + role + "'") == 1)
        run("DROP OWNED BY " + role + " CASCADE; DROP ROLE " + role);
    }
  }
};

TEST_F(LoadSwapRightsTest, ASwapGivesNobodyMoreThanHeHad) {
  run("CREATE VIEW shown AS SELECT * FROM t; CREATE SCHEMA own;"
      "CREATE TABLE own.n (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text);"
      "INSERT INTO own.n OVERRIDING SYSTEM VALUE SELECT n, 'a' FROM generate_series(1, 9) n");
  // From now on everything that is made is for everybody; what was made before is for nobody.
  run("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO weir_swap_ann, PUBLIC;"
      "ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO PUBLIC");
  const std::string before = rights("t") + "; " + rights("shown");
  swap();
  EXPECT_EQ(rights("t") + "; " + rights("shown"), before);

  const std::string sequence = rights("own.n_id_seq");
  load("own.n", spec(), "SELECT n, 'b' FROM generate_series(1, 9) n");
  EXPECT_EQ(rights("own.n_id_seq"), sequence);
  EXPECT_EQ(rows("SELECT v FROM own.n WHERE id = 3"), "b");

  run("ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM weir_swap_ann, PUBLIC;"
      "ALTER DEFAULT PRIVILEGES REVOKE USAGE ON SEQUENCES FROM PUBLIC");
}

TEST_F(LoadSwapRightsTest, AllThatWasGrantedIsAsItWas) {
  run("CREATE VIEW shown AS SELECT * FROM t;"
      "GRANT SELECT ON t, shown TO weir_swap_ann WITH GRANT OPTION; GRANT INSERT ON t TO PUBLIC;"
      "GRANT UPDATE (v) ON t TO weir_swap_ann WITH GRANT OPTION;"
      "SET ROLE weir_swap_ann; GRANT SELECT ON t, shown TO weir_swap_bob; GRANT UPDATE (v) ON t TO "
      "weir_swap_bob;"
      "RESET ROLE");
  // An owner may take rights from himself.
  run("DO 'BEGIN EXECUTE format(''REVOKE TRUNCATE, TRIGGER ON t FROM %I'', current_user); END'");
  const std::string before = rights("t") + "; " + rights("shown") + "; " + column_rights("t");
  EXPECT_TRUE(has(before, "weir_swap_bob|SELECT|weir_swap_ann")) << before;
  swap();
  EXPECT_EQ(rights("t") + "; " + rights("shown") + "; " + column_rights("t"), before);
  swap();
  EXPECT_EQ(rights("t") + "; " + rights("shown") + "; " + column_rights("t"), before);
}

TEST_F(LoadSwapRightsTest, TheOwnerStaysAndWhatIsRevokedMeanwhileIsGone) {
  run("ALTER TABLE t OWNER TO weir_swap_owner; GRANT SELECT ON t TO weir_swap_ann");
  ApplyOptions options;
  options.on_event = [&](const ApplyEvent& event) {
    // While the other table is built, or after that.
    if (event.kind == ApplyEvent::Kind::checked) run("REVOKE SELECT ON t FROM weir_swap_ann");
  };
  swap(options);
  EXPECT_EQ(rows("SELECT relowner::regrole::text FROM pg_class WHERE oid = 't'::regclass"),
            "weir_swap_owner");
  EXPECT_FALSE(has(rights("t"), "weir_swap_ann")) << rights("t");
}

// To add a column takes an owner, LOCK TABLE takes rights that he may have revoked. Found in review.
TEST_F(LoadSwapRightsTest, AnOwnerWhoMayOnlyAppendGetsNewColumns) {
  run("ALTER TABLE t OWNER TO weir_swap_owner; REVOKE ALL ON t FROM weir_swap_owner;"
      "GRANT SELECT, INSERT ON t TO weir_swap_owner");
  const Target now = target("t");
  pg::Session owner = session();
  owner.execute("SET ROLE weir_swap_owner");
  const Altered altered =
      evolve(owner, now, {.added = {{"more", type_of(Base::text), false}}, .widened = {}}, {.attempts = 1});
  EXPECT_EQ(altered.waiting.readers, 0);
  EXPECT_EQ(number("SELECT count(*) FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = 'more'"),
            1);
}

// Before anything is read: the server says it only when all is built. Found in review.
TEST_F(LoadSwapRightsTest, ASwapNeedsToMakeTablesInTheSchema) {
  run("CREATE SCHEMA narrow; CREATE TABLE narrow.n (id int PRIMARY KEY, v text);"
      "GRANT USAGE ON SCHEMA narrow TO weir_swap_owner; ALTER TABLE narrow.n OWNER TO weir_swap_owner");
  const auto plan = [&](const std::string& role) {
    pg::Session loader = session();
    loader.execute("SET ROLE " + role);
    return make_plan(*describe_target(loader, "narrow.n"), spec(), {.sql = "stage"}, 150000);
  };
  const Plan lacking = plan("weir_swap_owner");
  ASSERT_EQ(lacking.refusals.size(), 1U);
  EXPECT_TRUE(lacking.refusals[0].of_rights);
  EXPECT_TRUE(has(lacking.refusals[0].remedy, "GRANT CREATE ON SCHEMA \"narrow\" TO \"weir_swap_owner\""))
      << lacking.refusals[0].remedy;

  // A member of the owner makes the table, and it is given to the owner: both need it.
  run("GRANT weir_swap_owner TO weir_swap_ann; GRANT USAGE, CREATE ON SCHEMA narrow TO weir_swap_ann");
  const Plan given = plan("weir_swap_ann");
  ASSERT_EQ(given.refusals.size(), 1U);
  EXPECT_TRUE(has(given.refusals[0].remedy, "GRANT CREATE ON SCHEMA \"narrow\" TO \"weir_swap_owner\""))
      << given.refusals[0].remedy;
  run("GRANT CREATE ON SCHEMA narrow TO weir_swap_owner");
  EXPECT_TRUE(plan("weir_swap_owner").refusals.empty());
  EXPECT_TRUE(plan("weir_swap_ann").refusals.empty());
  run("REVOKE weir_swap_owner FROM weir_swap_ann");
}

// To replace a table it is locked, which an owner may have revoked. Found in review.
TEST_F(LoadSwapRightsTest, ASwapNeedsToLockTheTable) {
  run("ALTER TABLE t OWNER TO weir_swap_owner; REVOKE ALL ON t FROM weir_swap_owner;"
      "GRANT INSERT ON t TO weir_swap_owner; GRANT CREATE ON SCHEMA public TO weir_swap_owner");
  pg::Session owner = session();
  owner.execute("SET ROLE weir_swap_owner");
  const Plan plan = make_plan(*describe_target(owner, "t"), spec(), {.sql = "stage"}, 150000);
  ASSERT_EQ(plan.refusals.size(), 1U);
  EXPECT_TRUE(has(plan.refusals[0].remedy, "GRANT SELECT, UPDATE ON \"public\".\"t\" TO \"weir_swap_owner\""))
      << plan.refusals[0].remedy;
}

TEST_F(LoadSwapRightsTest, WhoWaitsMayStayUnknown) {
  run("REVOKE EXECUTE ON FUNCTION pg_catalog.pg_blocking_pids(int) FROM PUBLIC");
  pg::Session ann = session();
  ann.execute("SET ROLE weir_swap_ann");
  pg::Transaction transaction(ann);
  Waiting waiting = look_who_waits(ann);
  EXPECT_EQ(waiting.readers, Waiting::kNotKnown);
  EXPECT_EQ(waiting.others, Waiting::kNotKnown);
  waiting.add({.readers = 2});
  EXPECT_EQ(waiting.readers, Waiting::kNotKnown);
  ann.execute("SELECT 1");  // the transaction goes on
  transaction.commit();
}

TEST_F(LoadSwapRightsTest, APartitionKeepsItsRights) {
  run("CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);"
      "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100); INSERT INTO p VALUES (1, 'a');"
      "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO weir_swap_ann");
  const std::string before = rights("p1");
  load("p", spec(Mode::partition_swap), "VALUES (1, 'b')");
  EXPECT_EQ(rights("p1"), before);
  EXPECT_EQ(rows("SELECT v FROM p"), "b");
  run("ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM weir_swap_ann");
}

TEST_F(LoadSwapTest, WhatIsSaidOfTheTableAndItsColumnsStays) {
  run("DROP TABLE t; CREATE TABLE t (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, v text, w text) "
      "WITH (fillfactor = 70, toast.autovacuum_enabled = off);"
      "INSERT INTO t SELECT n, 'a', 'x' FROM generate_series(1, 9) n;"
      "ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
      "ALTER TABLE t ALTER v SET STATISTICS 17, ALTER v SET (n_distinct = 5, n_distinct_inherited = 6),"
      "              ALTER w SET STORAGE EXTERNAL;"
      "CREATE SCHEMA elsewhere; CREATE STATISTICS elsewhere.both_ways (dependencies) ON v, w FROM t;"
      "CREATE STATISTICS t_stat ON id, v FROM t; ALTER STATISTICS t_stat SET STATISTICS 33;"
      "COMMENT ON STATISTICS t_stat IS 'of s'; COMMENT ON COLUMN t.v IS 'of v';"
      "COMMENT ON CONSTRAINT t_pkey ON t IS 'of k'; COMMENT ON INDEX t_pkey IS 'of i';"
      "CREATE VIEW shown AS SELECT * FROM t; COMMENT ON COLUMN shown.v IS 'seen'");
  const std::string said =
      "SELECT relrowsecurity, relforcerowsecurity, reloptions::text, (SELECT reloptions::text FROM pg_class "
      "x WHERE "
      "x.oid = c.reltoastrelid), (SELECT string_agg(concat(attname, attstattarget, attoptions, attstorage, "
      "col_description(attrelid, attnum)), ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = c.oid AND "
      "attnum "
      "> 0), (SELECT string_agg(concat(stxnamespace::regnamespace, stxname, stxstattarget, stxkeys::text, "
      "stxkind, "
      "obj_description(oid, 'pg_statistic_ext')), ' ' ORDER BY stxname) FROM pg_statistic_ext WHERE stxrelid "
      "= "
      "c.oid), pg_get_serial_sequence('t', 'id'), col_description('shown'::regclass, 2), (SELECT "
      "obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE conname = 't_pkey'), "
      "obj_description('t_pkey'::regclass, 'pg_class') FROM pg_class c WHERE oid = 't'::regclass";
  const std::string before = rows(said);
  EXPECT_TRUE(has(before, "of s") && has(before, "of k") && has(before, "seen")) << before;
  swap();
  EXPECT_EQ(rows(said), before);
  swap();
  EXPECT_EQ(rows(said), before);
  EXPECT_EQ(number("SELECT count(*) FROM pg_class WHERE relname LIKE 'new\\_%'"), 0);
}

TEST_F(LoadSwapTest, WhatHangsOnAPartitionAloneIsRefused) {
  run("CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);"
      "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100);"
      "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200) PARTITION BY RANGE (id)");
  LoadSpec second = spec(Mode::partition_swap);
  second.partition = "p2";
  EXPECT_TRUE(has(refusal("p", second), "partition p2 is partitioned itself")) << refusal("p", second);
  for (const auto& [make, drop] : std::vector<std::pair<std::string, std::string>>{
           {"CREATE POLICY mine ON p1 USING (true)", "DROP POLICY mine ON p1"},
           {"CREATE MATERIALIZED VIEW kept AS SELECT * FROM p1", "DROP MATERIALIZED VIEW kept"},
           {"CREATE FUNCTION f() RETURNS SETOF p1 LANGUAGE sql AS 'SELECT * FROM p1'", "DROP FUNCTION f()"},
           {"CREATE TABLE child (id int REFERENCES p1)", "DROP TABLE child"},
           {"CREATE TRIGGER tg BEFORE INSERT ON p1 FOR EACH ROW EXECUTE FUNCTION "
            "suppress_redundant_updates_trigger()",
            "DROP TRIGGER tg ON p1"}}) {
    run(make);
    EXPECT_TRUE(has(refusal("p", spec(Mode::partition_swap)), "partition p1 has")) << make;
    run(drop);
  }
  EXPECT_EQ(refusal("p", spec(Mode::partition_swap)), "");
}

TEST_F(LoadSwapTest, APublishedTableIsNotSwapped) {
  for (const std::string published : {"TABLE t", "ALL TABLES", "TABLES IN SCHEMA public"}) {
    run("CREATE PUBLICATION pub FOR " + published);
    EXPECT_TRUE(has(refusal(), "publications (pub)")) << published << ": " << refusal();
    run("DROP PUBLICATION pub");
  }
  run("CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);"
      "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100);");
  for (const std::string published :
       {"TABLE p", "ALL TABLES", "TABLE p WITH (publish_via_partition_root)", "TABLE p1"}) {
    run("CREATE PUBLICATION pub FOR " + published);
    EXPECT_TRUE(has(refusal("p", spec(Mode::partition_swap)), "publications (pub)")) << published;
    run("DROP PUBLICATION pub");
  }
  EXPECT_EQ(refusal(), "");
  EXPECT_EQ(refusal("p", spec(Mode::partition_swap)), "");
}

TEST_F(LoadSwapTest, APublishedTableWithoutIdentityTakesNoUpdate) {
  run("CREATE TABLE bare (id int, v text); CREATE UNIQUE INDEX bare_id ON bare (id); INSERT INTO bare VALUES "
      "(1, "
      "'a'); CREATE PUBLICATION pub FOR ALL TABLES WITH (publish = 'insert')");
  EXPECT_EQ(refusal("bare", spec(Mode::refresh)), "") << "no UPDATE is published";
  run("ALTER PUBLICATION pub SET (publish = 'insert, update, delete')");
  for (const Mode mode : {Mode::refresh, Mode::upsert})
    EXPECT_TRUE(has(refusal("bare", spec(mode)), "no replica identity")) << refusal("bare", spec(mode));
  EXPECT_EQ(refusal("bare", spec(Mode::append)), "");
  EXPECT_EQ(refusal("t", spec(Mode::refresh)), "");
  run("ALTER TABLE bare ALTER id SET NOT NULL, REPLICA IDENTITY USING INDEX bare_id");
  EXPECT_EQ(refusal("bare", spec(Mode::refresh)), "");
  run("DROP INDEX bare_id; CREATE UNIQUE INDEX bare_id ON bare (id)");
  EXPECT_TRUE(has(refusal("bare", spec(Mode::refresh)), "no replica identity")) << "its index is gone";
  run("ALTER TABLE bare REPLICA IDENTITY FULL");
  EXPECT_EQ(refusal("bare", spec(Mode::refresh)), "");
}

TEST_F(LoadSwapTest, WhatDependsOnAViewOrOnTheRowTypeIsRefused) {
  run("CREATE VIEW shown AS SELECT * FROM t; CREATE VIEW above AS SELECT * FROM shown");
  EXPECT_EQ(refusal(), "");
  struct Case {
    std::string make;
    std::string named;
    std::string drop;
  };
  for (const Case& one : std::vector<Case>{
           {"CREATE FUNCTION seen() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM above; END",
            "function seen()", "DROP FUNCTION seen()"},
           {"CREATE FUNCTION all_rows() RETURNS SETOF t LANGUAGE sql AS 'SELECT * FROM t'",
            "function all_rows()", "DROP FUNCTION all_rows()"},
           {"CREATE FUNCTION some_rows() RETURNS SETOF shown LANGUAGE sql AS 'SELECT * FROM shown'",
            "function some_rows()", "DROP FUNCTION some_rows()"},
           {"CREATE TABLE kept (was t)", "column was of table kept", "DROP TABLE kept"},
           {"CREATE TABLE many (were shown[])", "column were of table many", "DROP TABLE many"},
           {"CREATE VIEW odd AS SELECT NULL::t AS r", "view odd", "DROP VIEW odd"},
           {"CREATE TABLE o (id int); CREATE POLICY mine ON o USING (id IN (SELECT id FROM t))",
            "policy mine on table o", "DROP TABLE o"}}) {
    run(one.make);
    EXPECT_TRUE(has(refusal(), one.named)) << one.named << ": " << refusal();
    run(one.drop);
  }
  EXPECT_EQ(refusal(), "");
  swap();
  EXPECT_EQ(number("SELECT count(*) FROM above WHERE v = 'b'"), 9);
}

}  // namespace
}  // namespace weir::load
