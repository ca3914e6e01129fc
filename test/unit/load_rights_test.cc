#include <gtest/gtest.h>

#include "load/write/rights.h"

namespace weir::load {
namespace {

pg::ErrorInfo refused(const std::string& message, const std::string& query = "ad hoc") {
  return {.message = message, .sqlstate = "42501", .query = query};
}

TEST(LoadRights, TheGrantIsForWhatTheServerNames) {
  struct Case {
    pg::ErrorInfo refused;
    std::string remedy;
  };
  for (const Case& c : {
           Case{refused("permission denied for table t"), "GRANT SELECT ON \"t\" TO \"ann\";"},
           Case{refused("permission denied for view Odd v"), "GRANT SELECT ON \"Odd v\" TO \"ann\";"},
           Case{refused("permission denied for sequence t_id_seq"),
                "GRANT USAGE ON SEQUENCE \"t_id_seq\" TO \"ann\";"},
           Case{refused("permission denied for schema app"), "GRANT USAGE ON SCHEMA \"app\" TO \"ann\";"},
           Case{refused("permission denied for schema app", "load_target"),
                "GRANT USAGE ON SCHEMA \"app\" TO \"ann\";"},
           Case{refused("permission denied for function f"), "GRANT EXECUTE ON FUNCTION \"f\" TO \"ann\";"},
           Case{refused("permission denied for schema weir_stage"), "GRANT weir_worker TO \"ann\";"},
           Case{refused("permission denied for table load_run", "load_begin_run"),
                "GRANT weir_worker TO \"ann\";"},
           Case{refused("must be owner of table t"),
                "Let the owner of what it names GRANT it to \"ann\", or load as its owner."},
       }) {
    EXPECT_EQ(grant_for(c.refused, "ann", Purpose::reading), c.remedy) << c.refused.message;
  }
  EXPECT_EQ(grant_for(refused("permission denied for table t"), {}, Purpose::reading),
            "GRANT SELECT ON \"t\" TO <user>;");
}

TEST(LoadRights, OfWhatALoadMeetsNoMoreIsSaidThanIsKnown) {
  EXPECT_EQ(grant_for(refused("permission denied for table other"), "ann", Purpose::loading),
            "GRANT what it needs, such as SELECT, ON \"other\" TO \"ann\"; of which schema it is the server "
            "does not say.");
  EXPECT_EQ(grant_for(refused("permission denied for schema app"), "ann", Purpose::loading),
            "GRANT USAGE ON SCHEMA \"app\" TO \"ann\"; a load that makes its table there, or swaps it, "
            "needs CREATE as well.");
  EXPECT_EQ(grant_for(refused("permission denied for schema weir"), "ann", Purpose::loading),
            "GRANT weir_worker TO \"ann\";");
  EXPECT_EQ(grant_for(refused("permission denied for sequence s"), "ann", Purpose::loading),
            "GRANT USAGE ON SEQUENCE \"s\" TO \"ann\";");
  EXPECT_TRUE(names_table(refused("permission denied for table t"), "t"));
  EXPECT_FALSE(names_table(refused("permission denied for table t2"), "t"));
  EXPECT_FALSE(names_table(refused("permission denied for sequence t"), "t"));
}

TEST(LoadRights, APolicyThatKeepsARowOutIsNoMissingRight) {
  EXPECT_TRUE(is_of_rights(pg::Error(refused("permission denied for table t"))));
  EXPECT_FALSE(
      is_of_rights(pg::Error(refused("new row violates row-level security policy for table \"t\""))));
  EXPECT_FALSE(is_of_rights(pg::Error(pg::ErrorInfo{.message = "division by zero", .sqlstate = "22012"})));
  const MissingRight error("it lacks", "GRANT");
  EXPECT_EQ(error.exit_code(), ExitCode::database);
  EXPECT_EQ(error.failure(), Failure::refused) << "to try again does not help";
  EXPECT_EQ(error.sqlstate(), "42501");
}

}  // namespace
}  // namespace weir::load
