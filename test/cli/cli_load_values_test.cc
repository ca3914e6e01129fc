// `weir load` from the command line: what becomes of values, of names and of rights.
#include <fstream>

#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "cli_load_fixture.h"

namespace weir::test {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using Words = std::vector<std::string>;
using nlohmann::json;

class CliLoadValues : public CliLoadFixture {};

TEST_F(CliLoadValues, AValueThatAColumnWouldCutIsRejected) {
  execute("CREATE DOMAIN dv AS varchar(3)");
  execute("CREATE TABLE dd (id int PRIMARY KEY, v dv, b bit(4))");
  write("dt.csv", "id,v,b\n1,abcdef,1010\n2,abc,1010\n3,abc,101010\n");
  const Words words{"dt.csv", "--into", "dd", "--key", "id", "--schema", "freeze"};
  const WeirResult refused = run(words);
  EXPECT_EQ(refused.status, 5) << refused.out;
  EXPECT_THAT(refused.err, AllOf(HasSubstr("line 2, column v: value too long for type character varying(3)"),
                                 HasSubstr("at least --max-rejects 2")));
  Words allowed = words;
  allowed.insert(allowed.end(), {"--max-rejects", "2"});
  EXPECT_EQ(document(allowed).at("rejected"), 2);
  EXPECT_EQ(value("SELECT string_agg(format('%s %s %s', id, v, b), ',') FROM dd"), "2 abc 1010");
}

TEST_F(CliLoadValues, AStaleRecordIsNotAppliedForOneThatIsRejected) {
  execute("CREATE TABLE t AS SELECT 1 AS id, 50 AS v");
  execute("ALTER TABLE t ADD PRIMARY KEY (id)");
  write("t.csv", "id,v\n1,10\n1,zz\n");
  for (const std::string mode : {"refresh", "upsert"}) {
    const json report = document(
        {"t.csv", "--into", "t", "--key", "id", "--mode", mode, "--max-rejects", "1", "--schema", "freeze"});
    EXPECT_EQ(report.at("rejected"), 1);
    EXPECT_EQ(value("SELECT v::text FROM t"), "50") << mode;
  }
}

TEST_F(CliLoadValues, ApostrophesAreNoQuotesAndQuotesThatAreGuessedAreTold) {
  write("n.csv", "id;name\n1;'t Hooft\n2;Bob\n3;x'\n4;Al\n");
  const json names = document({"n.csv", "--into", "n"});
  EXPECT_EQ(names.at("inserted"), 4);
  EXPECT_EQ(names.at("notices"), json::array());
  EXPECT_EQ(value("SELECT string_agg(name, ',' ORDER BY id) FROM n"), "'t Hooft,Bob,x',Al");
  write("q.csv", "id,name\n1,'one, two'\n2,'three'\n");
  const WeirResult quoted = run({"q.csv", "--into", "q"});
  EXPECT_THAT(quoted.out + quoted.err, HasSubstr("q.csv: read with ' as the quote, which is a guess"));
  EXPECT_EQ(value("SELECT string_agg(name, ';' ORDER BY id) FROM q"), "one, two;three");
  EXPECT_EQ(document({"q.csv", "--into", "q", "--quote", "'"}).at("notices"), json::array());
}

TEST_F(CliLoadValues, AStateIsPrintedWithAllItsDigits) {
  execute(
      "INSERT INTO weir.load_state (pipeline, stream, state, seq, run, rows) VALUES ('p', '', "
      "'{\"tap_state\": {\"at\": 1704067200.123456789, \"n\": 12345678901234567890123, \"x\": [1.0, \"a "
      "b\"]}, "
      "\"versions\": {}}', 1, 1, 0), ('number', '', '{\"tap_state\": 1.50, \"versions\": {}}', 1, 1, 0)");
  EXPECT_EQ(run({"state", "p"}).out,
            "{\"n\":12345678901234567890123,\"x\":[1.0,\"a b\"],\"at\":1704067200.123456789}\n");
  EXPECT_EQ(run({"state", "number"}).out, "1.50\n");
}

TEST_F(CliLoadValues, AMissingRightEndsWithFourAsElsewhere) {
  execute("CREATE TABLE t (id int PRIMARY KEY)");
  const std::string role = "weir_bare_" + value("SELECT current_database()");
  execute("CREATE ROLE " + role + " IN ROLE weir_worker");
  write("t.csv", "id\n1\n");
  const WeirSetup as_role{.env = {{"DATABASE_URL", url()}, {"PGOPTIONS", "-c role=" + role}},
                          .folder = folder_.path()};
  for (const Words& words : std::vector<Words>{{"load", "t.csv", "--into", "t", "--key", "id"},
                                               {"load", "t.csv", "--into", "t", "--key", "id", "--dry-run"},
                                               {"load", "t.csv", "--into", "t", "--mode", "swap"}}) {
    const WeirResult result = run_weir(words, as_role);
    EXPECT_EQ(result.status, 4) << result.out << result.err;
    EXPECT_THAT(result.out + result.err, AnyOf(HasSubstr("is missing"), HasSubstr("only its owner")));
  }
  execute("DROP OWNED BY " + role);
  execute("DROP ROLE " + role);
}

TEST_F(CliLoadValues, ARightThatOnlyTheServerMissesEndsWithFourAndItsGrant) {
  const std::string role = "weir_bare_" + value("SELECT current_database()");
  execute("CREATE ROLE " + role + " IN ROLE weir_worker");
  execute("CREATE TABLE t (id int PRIMARY KEY, n serial)");
  execute("GRANT SELECT, INSERT, UPDATE, DELETE ON t TO " + role);
  execute("CREATE SCHEMA closed");
  execute("GRANT USAGE ON SCHEMA closed TO " + role);
  execute("CREATE SCHEMA shut");
  execute("CREATE TABLE secret AS SELECT 1 AS id");
  write("t.csv", "id\n1\n");
  write("wider.csv", "id,more\n1,2\n");
  const WeirSetup as_role{.env = {{"DATABASE_URL", url()}, {"PGOPTIONS", "-c role=" + role}},
                          .folder = folder_.path()};
  struct Lacking {
    Words words;
    std::string message;
    std::string remedy;
  };
  for (const Lacking& lacking : std::vector<Lacking>{
           {{"load", "t.csv", "--into", "t", "--key", "id"},
            "permission denied for sequence t_n_seq",
            "GRANT USAGE ON SEQUENCE \"t_n_seq\" TO \"" + role + "\";"},
           {{"load", "t.csv", "--into", "t", "--mode", "append"},
            "permission denied for sequence t_n_seq",
            "GRANT USAGE ON SEQUENCE"},
           {{"load", "wider.csv", "--into", "t", "--key", "id"}, "only its owner", "--schema discard"},
           {{"load", "t.csv", "--into", "closed.t"}, "may not make a table in schema closed", "GRANT CREATE"},
           {{"load", "t.csv", "--into", "shut.t"},
            "permission denied for schema shut",
            "GRANT USAGE ON SCHEMA"},
           {{"load", url(), "--table", "secret", "--into", "t"},
            "permission denied for table secret",
            "GRANT SELECT ON \"secret\""},
       }) {
    SCOPED_TRACE(::testing::PrintToString(lacking.words));
    const WeirResult result = run_weir(lacking.words, as_role);
    EXPECT_EQ(result.status, 4) << result.out << result.err;
    EXPECT_THAT(result.err, AllOf(HasSubstr(lacking.message), HasSubstr(lacking.remedy)));
  }
  EXPECT_EQ(value("SELECT count(*)::text FROM t"), "0");
  execute("DROP OWNED BY " + role);
  execute("DROP ROLE " + role);
}

}  // namespace
}  // namespace weir::test
