// Doctor's judgements on facts made up here: no server.
#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "cli/doctor/judge.h"

namespace weir::cli {
namespace {

using ::testing::HasSubstr;

/// A server with which all is well.
DoctorFacts healthy() {
  DoctorFacts facts;
  facts.server.version = 150020;
  facts.server.version_text = "15.20";
  facts.server.limits = {.max_connections = 200, .reserved = 3};
  facts.server.client_connections = 2;
  facts.server.round_trip = std::chrono::milliseconds(2);
  facts.server.settings = {{"fsync", "on"},
                           {"full_page_writes", "on"},
                           {"synchronous_commit", "on"},
                           {"autovacuum", "on"},
                           {"track_counts", "on"},
                           {"idle_in_transaction_session_timeout", "1h"},
                           {"default_transaction_isolation", "read committed"},
                           {"default_transaction_read_only", "off"}};
  facts.budget = default_budget(1, 8);
  facts.schema.plan.applied = facts.schema.plan.known = 2;
  facts.rights = {.user = "eve",
                  .database = "db",
                  .may_create_schema = true,
                  .schema_owner = "eve",
                  .is_schema_owner = true,
                  .schema_is_empty = false};
  for (const char* const name : {"weir_producer", "weir_worker", "weir_viewer"})
    facts.roles.push_back({name, true, true, true});
  facts.encoding = "UTF8";
  return facts;
}

DoctorFacts with_setting(const std::string& name, const std::string& value) {
  DoctorFacts facts = healthy();
  for (auto& setting : facts.server.settings) {
    if (setting.name == name) setting.value = value;
  }
  return facts;
}

TEST(DoctorJudge, AHealthyServerPassesEveryCheck) {
  for (const Finding& finding : judge(healthy())) {
    EXPECT_EQ(finding.verdict, Verdict::ok) << finding.check << ": " << finding.message;
    EXPECT_EQ(finding.remedy, "");
    EXPECT_NE(finding.message, "");
  }
}

TEST(DoctorJudge, Settings) {
  struct Case {
    const char* name;
    const char* value;
    Verdict verdict;
  };
  for (const Case& each : {Case{"fsync", "off", Verdict::fail},
                           {"full_page_writes", "off", Verdict::warn},
                           {"synchronous_commit", "off", Verdict::warn},
                           {"synchronous_commit", "local", Verdict::ok},
                           {"synchronous_commit", "remote_apply", Verdict::ok},
                           {"autovacuum", "off", Verdict::fail},
                           {"track_counts", "off", Verdict::fail},
                           {"idle_in_transaction_session_timeout", "0", Verdict::warn},
                           {"default_transaction_isolation", "serializable", Verdict::warn}}) {
    const Findings findings = judge_settings(with_setting(each.name, each.value));
    ASSERT_EQ(findings.size(), 1U);
    EXPECT_EQ(findings[0].verdict, each.verdict) << each.name << " = " << each.value;
    if (each.verdict == Verdict::ok) continue;
    EXPECT_THAT(findings[0].message, HasSubstr(std::string(each.name) + " = " + each.value + ": "));
    EXPECT_NE(findings[0].remedy, "");
  }
}

TEST(DoctorJudge, SeveralSettingsAreSeveralFindings) {
  DoctorFacts facts = with_setting("fsync", "off");
  facts.server.settings[3].value = "off";
  EXPECT_EQ(judge_settings(facts).size(), 2U);
}

TEST(DoctorJudge, ASearchPathThatThePoolerRefused) {
  DoctorFacts facts = healthy();
  facts.own_search_path = false;
  const Findings findings = judge_settings(facts);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].verdict, Verdict::warn);
  EXPECT_THAT(findings[0].remedy, HasSubstr("ALTER ROLE eve SET search_path = pg_catalog, pg_temp"));
}

TEST(DoctorJudge, WhatCannotBeWritten) {
  EXPECT_EQ(judge_primary(with_setting("default_transaction_read_only", "on")).verdict, Verdict::fail);
  DoctorFacts standby = healthy();
  standby.server.in_recovery = true;
  EXPECT_EQ(judge_primary(standby).verdict, Verdict::fail);
  EXPECT_THAT(judge_primary(standby).message, HasSubstr("standby"));
}

TEST(DoctorJudge, Pooler) {
  DoctorFacts facts = healthy();
  EXPECT_EQ(judge_pooler(facts).verdict, Verdict::ok);
  facts.pooling = pg::Pooling::session;
  EXPECT_EQ(judge_pooler(facts).verdict, Verdict::warn) << "it may be taken for one by chance";
  EXPECT_THAT(judge_pooler(facts).message, HasSubstr("does not rely on it"));
  facts.pooling = pg::Pooling::transaction;
  EXPECT_EQ(judge_pooler(facts).verdict, Verdict::warn);
  EXPECT_THAT(judge_pooler(facts).remedy, HasSubstr("connect to the server itself"));
}

TEST(DoctorJudge, Budget) {
  DoctorFacts facts = healthy();
  EXPECT_THAT(
      judge_budget(facts).message,
      HasSubstr("= 31 sessions x 1 process = 31 of 197 that the server leaves for clients; 2 in use"));
  facts.server.client_connections = 167;
  EXPECT_EQ(judge_budget(facts).verdict, Verdict::warn);
  facts.budget = default_budget(7, 8);
  EXPECT_EQ(judge_budget(facts).verdict, Verdict::fail);
  EXPECT_THAT(judge_budget(facts).message, HasSubstr("x 7 processes = 217, but the server leaves 197"));
}

TEST(DoctorJudge, Schema) {
  DoctorFacts facts = healthy();
  facts.schema.state = schema::SchemaState::missing;
  EXPECT_EQ(judge_schema(facts).verdict, Verdict::fail);
  EXPECT_THAT(judge_schema(facts).remedy, HasSubstr("weir db migrate"));
}

TEST(DoctorJudge, Privileges) {
  DoctorFacts worker = healthy();
  worker.rights.is_schema_owner = false;
  worker.rights.schema_owner = "admin";
  EXPECT_EQ(judge_rights(worker).verdict, Verdict::ok);
  EXPECT_THAT(judge_rights(worker).message, HasSubstr("weir_worker"));

  DoctorFacts stranger = worker;
  for (RoleFact& role : stranger.roles) role.is_member = false;
  EXPECT_EQ(judge_rights(stranger).verdict, Verdict::warn);
  EXPECT_EQ(judge_rights(stranger).remedy, "As an administrator: GRANT weir_worker TO eve;");

  DoctorFacts unmigrated = stranger;
  unmigrated.schema.state = schema::SchemaState::behind;
  EXPECT_EQ(judge_rights(unmigrated).verdict, Verdict::fail);
}

TEST(DoctorJudge, Roles) {
  DoctorFacts facts = healthy();
  facts.roles[1].present = false;
  EXPECT_EQ(judge_roles(facts).verdict, Verdict::warn);
  EXPECT_THAT(judge_roles(facts).message, HasSubstr("missing: weir_worker"));
  facts = healthy();
  facts.roles[0].is_group = false;
  EXPECT_THAT(judge_roles(facts).message, HasSubstr("weir_producer"));
}

TEST(DoctorJudge, ClockCountsOnlyWhatTheRoundTripCannotExplain) {
  DoctorFacts facts = healthy();
  facts.server.clock_offset = std::chrono::seconds(3);
  EXPECT_EQ(judge_clock(facts).verdict, Verdict::warn);
  EXPECT_THAT(judge_clock(facts).message, HasSubstr("3.0 s ahead of"));
  facts.server.clock_offset = std::chrono::seconds(-3);
  EXPECT_THAT(judge_clock(facts).message, HasSubstr("3.0 s behind"));
  facts.server.round_trip = std::chrono::seconds(4);
  EXPECT_EQ(judge_clock(facts).verdict, Verdict::ok);
}

TEST(DoctorJudge, Encoding) {
  DoctorFacts facts = healthy();
  facts.encoding = "SQL_ASCII";
  EXPECT_EQ(judge_encoding(facts).verdict, Verdict::fail);
}

TEST(DoctorJudge, OldSnapshots) {
  struct Case {
    SnapshotFact fact;
    Verdict verdict;
    const char* part;
  };
  for (const Case& each :
       {Case{{"session", "pid 7 (psql)", std::chrono::minutes(14), 10}, Verdict::ok, ""},
        {{"session", "pid 7 (psql)", std::chrono::minutes(20), 10}, Verdict::warn, "open for 20 m 0 s"},
        {{"prepared", "x of user eve", std::chrono::hours(3), 10}, Verdict::warn, "prepared transaction x"},
        {{"slot", "sub", std::nullopt, 2'000'000}, Verdict::warn, "slot sub"},
        {{"slot", "sub", std::nullopt, 100}, Verdict::ok, ""}}) {
    DoctorFacts facts = healthy();
    facts.snapshots = {each.fact};
    EXPECT_EQ(judge_snapshots(facts).verdict, each.verdict);
    EXPECT_THAT(judge_snapshots(facts).message, HasSubstr(each.part));
  }
}

}  // namespace
}  // namespace weir::cli
