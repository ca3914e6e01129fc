#include <array>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "schema/migration.h"
#include "schema/rights.h"
#include "schema/roles.h"
#include "schema/schema_check.h"

namespace weir::schema {
namespace {

constexpr std::array kKnown{Migration{1, "one", "c1", ""}, Migration{2, "two", "c2", ""},
                            Migration{3, "three", "c3", ""}};

AppliedMigration applied(int number, std::string checksum) {
  return {.number = number,
          .name = "n" + std::to_string(number),
          .checksum = std::move(checksum),
          .applied_by = "eve"};
}

/// "1 applied, 2 pending, .."
std::string states(const MigrationPlan& plan) {
  std::string text;
  for (const MigrationPlan::Step& step : plan.steps) {
    text +=
        (text.empty() ? "" : ", ") + std::to_string(step.number) + ' ' + std::string(to_string(step.state));
  }
  return text;
}

std::string refusal(const MigrationPlan& plan) {
  const std::optional<Error> error = plan.refusal();
  if (!error) return "none";
  EXPECT_EQ(error->exit_code(), ExitCode::refused);
  EXPECT_FALSE(error->remedy().empty());
  return error->what();
}

TEST(Decide, AVirginDatabaseHasAllPending) {
  const MigrationPlan plan = decide({}, kKnown);
  EXPECT_EQ(states(plan), "1 pending, 2 pending, 3 pending");
  EXPECT_EQ(plan.applied, 0);
  EXPECT_EQ(plan.known, 3);
  EXPECT_FALSE(plan.up_to_date());
  EXPECT_EQ(refusal(plan), "none");
}

TEST(Decide, SomeAppliedAndAllApplied) {
  const std::vector all{applied(1, "c1"), applied(2, "c2"), applied(3, "c3")};
  EXPECT_EQ(states(decide(std::span(all).first(2), kKnown)), "1 applied, 2 applied, 3 pending");
  EXPECT_TRUE(decide(all, kKnown).up_to_date());
  EXPECT_EQ(decide(all, kKnown).count(MigrationState::applied), 3U);
}

TEST(Decide, AnotherChecksumIsRefused) {
  const std::vector rows{applied(1, "other"), applied(2, "c2")};
  const MigrationPlan plan = decide(rows, kKnown);
  EXPECT_EQ(states(plan), "1 changed, 2 applied, 3 pending");
  EXPECT_EQ(refusal(plan),
            "migration 001_n1 was applied to this database by eve from another text than this binary has");
}

TEST(Decide, AnUnknownNumberIsANewerSchema) {
  const std::vector rows{applied(1, "c1"), applied(2, "c2"), applied(3, "c3"), applied(4, "c4"),
                         applied(5, "c5")};
  const MigrationPlan plan = decide(rows, kKnown);
  EXPECT_EQ(states(plan), "1 applied, 2 applied, 3 applied, 4 newer, 5 newer");
  EXPECT_EQ(refusal(plan), "the schema is newer than this binary (5 > 3)");
}

TEST(Decide, ANewerSchemaIsSaidBeforeAnythingElse) {
  const std::vector rows{applied(1, "other"), applied(3, "c3"), applied(4, "c4")};
  const MigrationPlan plan = decide(rows, kKnown);
  EXPECT_EQ(states(plan), "1 changed, 2 skipped, 3 applied, 4 newer");
  EXPECT_EQ(refusal(plan), "the schema is newer than this binary (4 > 3)");
}

TEST(Decide, AHoleInTheRecordIsRefused) {
  const std::vector rows{applied(2, "c2")};
  const MigrationPlan plan = decide(rows, kKnown);
  EXPECT_EQ(states(plan), "1 skipped, 2 applied, 3 pending");
  EXPECT_EQ(refusal(plan), "migration 001_one is not recorded as applied, although 002 is");
}

TEST(Decide, ABinaryWithoutMigrationsKnowsNothing) {
  EXPECT_TRUE(decide({}, {}).up_to_date());
  const std::vector rows{applied(1, "c1")};
  EXPECT_EQ(refusal(decide(rows, {})), "the schema is newer than this binary (1 > 0)");
}

TEST(KnownMigrations, AreNumberedWithoutGaps) {
  int expected = 0;
  for (const Migration& migration : known_migrations()) {
    EXPECT_EQ(migration.number, ++expected);
    EXPECT_EQ(migration.checksum.size(), 16U);
  }
  EXPECT_GE(expected, 2);
}

TEST(SchemaCheck, SaysWhatToDo) {
  SchemaCheck check{.state = SchemaState::missing, .plan = decide({}, kKnown)};
  EXPECT_STREQ(check.error().value().what(), "this database has no schema weir yet");
  EXPECT_NE(check.error().value().remedy().find("weir db migrate"), std::string::npos);
  const std::vector rows{applied(1, "c1")};
  check = {.state = SchemaState::behind, .plan = decide(rows, kKnown)};
  EXPECT_STREQ(check.error().value().what(), "the schema is older than this binary (1 < 3)");
  EXPECT_EQ(check.error().value().exit_code(), ExitCode::database);
  check.state = SchemaState::ok;
  EXPECT_FALSE(check.error());
}

TEST(MigrationRights, NameTheExactGrant) {
  MigrationRights rights{.user = "\"o'Hara\"", .database = "shop"};
  EXPECT_NE(rights.missing().value().remedy().find("GRANT CREATE ON DATABASE shop TO \"o'Hara\";"),
            std::string::npos);
  rights.may_create_schema = true;
  EXPECT_FALSE(rights.missing());
  rights.schema_owner = "eve";
  EXPECT_NE(rights.missing().value().remedy().find("GRANT eve TO \"o'Hara\";"), std::string::npos);
  rights.is_schema_owner = true;
  rights.may_create_schema = false;
  EXPECT_FALSE(rights.missing());
}

TEST(RoleNotices, AreForWhatAnAdministratorHasToDo) {
  EXPECT_TRUE(
      role_notices({{"weir_worker", RoleOutcome::created}, {"weir_viewer", RoleOutcome::present}}, "eve")
          .empty());
  const std::vector<std::string> notices = role_notices({{"weir_producer", RoleOutcome::denied},
                                                         {"weir_worker", RoleOutcome::foreign},
                                                         {"weir_viewer", RoleOutcome::denied}},
                                                        "eve");
  ASSERT_EQ(notices.size(), 2U);
  EXPECT_NE(notices[0].find("ALTER ROLE weir_worker NOLOGIN"), std::string::npos);
  EXPECT_NE(notices[1].find("CREATE ROLE weir_producer NOLOGIN; CREATE ROLE weir_viewer NOLOGIN;"),
            std::string::npos);
}

}  // namespace
}  // namespace weir::schema
