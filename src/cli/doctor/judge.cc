#include "cli/doctor/judge.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"
#include "cli/doctor/judge_work.h"

namespace weir::cli {
namespace {

struct SettingRule {
  std::string_view name;
  std::string_view wanted;  ///< the value that is fine; empty: every value but `unwanted` is
  std::string_view unwanted;
  Verdict verdict;
  std::string_view consequence;
  std::string_view remedy;
};

constexpr std::array kSettingRules{
    SettingRule{"fsync", "on", "", Verdict::fail, "a crash of the machine can destroy the database",
                "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf();"},
    SettingRule{"full_page_writes", "on", "", Verdict::warn,
                "a crash of the machine can leave torn pages, unless the file system writes pages as a whole",
                "ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf();"},
    SettingRule{
        "synchronous_commit", "", "off", Verdict::warn,
        "a crash of the server can undo the last commits, and with them work that was reported as done",
        "ALTER SYSTEM SET synchronous_commit = on; SELECT pg_reload_conf();"},
    SettingRule{"autovacuum", "on", "", Verdict::fail,
                "queue tables grow without bound and everything becomes slow",
                "ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf();"},
    SettingRule{"track_counts", "on", "", Verdict::fail, "without it autovacuum does nothing",
                "ALTER SYSTEM SET track_counts = on; SELECT pg_reload_conf();"},
    SettingRule{"idle_in_transaction_session_timeout", "", "0", Verdict::warn,
                "a client that hangs in an open transaction keeps its locks, and dead rows, for ever",
                "ALTER SYSTEM SET idle_in_transaction_session_timeout = '1h'; SELECT pg_reload_conf();"},
    SettingRule{"default_transaction_isolation", "read committed", "", Verdict::warn,
                "statements outside of explicit transactions meet serialization failures",
                "ALTER ROLE .. SET default_transaction_isolation = 'read committed';"},
};

constexpr Duration kOldSession = std::chrono::minutes(15);
constexpr std::int64_t kManyTransactions = 1'000'000;

std::string plural(std::size_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

}  // namespace

Finding judge_version(const DoctorFacts& facts) {
  return {.check = "version", .message = fmt::format("PostgreSQL {}", facts.server.version_text)};
}

Finding judge_primary(const DoctorFacts& facts) {
  Finding finding{.check = "writable", .message = "a primary server"};
  if (facts.server.in_recovery) {
    finding.verdict = Verdict::fail;
    finding.message = "this is a read-only standby";
    finding.remedy =
        "Name the primary, or all hosts with target_session_attrs=read-write in the connection string.";
  } else if (facts.server.setting("default_transaction_read_only") == "on") {
    finding.verdict = Verdict::fail;
    finding.message = "transactions are read-only by default (default_transaction_read_only)";
    finding.remedy = "ALTER ROLE .. SET default_transaction_read_only = off; or ALTER DATABASE .. likewise.";
  }
  return finding;
}

Finding judge_pooler(const DoctorFacts& facts) {
  Finding finding{.check = "pooler",
                  .verdict = Verdict::warn,
                  .message = {},
                  .remedy =
                      "For less delay, and for what needs a session of its own (group consume --ownership "
                      "advisory, stream adopt, demo readers), connect to the server itself."};
  switch (facts.pooling) {
    case pg::Pooling::none: return {.check = "pooler", .message = "a direct connection"};
    case pg::Pooling::session:
      finding.message =
          "a pooler that looks as if in session mode, as one in transaction mode does when it is busy: Weir "
          "does not rely on it, and uses leases and polling; its limits count, too";
      break;
    case pg::Pooling::transaction:
      finding.message =
          "a pooler in transaction mode: advisory locks and LISTEN do not work through it, so Weir "
          "uses leases and polling";
      break;
  }
  return finding;
}

Finding judge_budget(const DoctorFacts& facts) {
  const int available = pg::available_sessions(facts.server.limits);
  Finding finding{
      .check = "connections",
      .message = fmt::format("{} of {} that the server leaves for clients; {} in use now",
                             facts.budget.arithmetic(), available, facts.server.client_connections)};
  if (const auto refusal = pg::check_budget(facts.budget, facts.server.limits)) {
    finding.verdict = Verdict::fail;
    finding.message = refusal->what();
    finding.remedy = refusal->remedy();
  } else if (facts.server.client_connections + facts.budget.total() > available) {
    finding.verdict = Verdict::warn;
    finding.message += ", so not all of them would be free";
    finding.remedy =
        "Raise max_connections (restart needed), or close what is not needed: see pg_stat_activity.";
  }
  return finding;
}

Findings judge_settings(const DoctorFacts& facts) {
  Findings findings;
  for (const SettingRule& rule : kSettingRules) {
    const auto value = facts.server.setting(rule.name);
    if (!value) continue;
    const bool fine = rule.wanted.empty() ? *value != rule.unwanted : *value == rule.wanted;
    if (fine) continue;
    findings.push_back({.check = "settings",
                        .verdict = rule.verdict,
                        .message = fmt::format("{} = {}: {}", rule.name, *value, rule.consequence),
                        .remedy = std::string(rule.remedy)});
  }
  if (!facts.own_search_path) {
    findings.push_back(
        {.check = "settings",
         .verdict = Verdict::warn,
         .message = "the pooler in between refuses Weir's search_path: functions that others put into the "
                    "user's path can be taken for PostgreSQL's",
         .remedy =
             fmt::format("ALTER ROLE {} SET search_path = pg_catalog, pg_temp; or let nobody else CREATE "
                         "in the schemas of the path.",
                         facts.rights.user)});
  }
  if (findings.empty()) {
    std::vector<std::string_view> names;
    names.reserve(kSettingRules.size());
    for (const SettingRule& rule : kSettingRules) names.push_back(rule.name);
    findings.push_back({.check = "settings", .message = fmt::format("{} are fine", fmt::join(names, ", "))});
  }
  return findings;
}

Finding judge_schema(const DoctorFacts& facts) {
  const schema::MigrationPlan& plan = facts.schema.plan;
  const auto error = facts.schema.error();
  if (error) {
    return {.check = "schema", .verdict = Verdict::fail, .message = error->what(), .remedy = error->remedy()};
  }
  return {.check = "schema",
          .message = fmt::format("up to date, {} applied",
                                 plural(static_cast<std::size_t>(plan.applied), "migration"))};
}

Finding judge_rights(const DoctorFacts& facts) {
  const schema::MigrationRights& rights = facts.rights;
  Finding finding{.check = "privileges"};
  const auto missing = rights.missing();
  if (!missing) {
    finding.message = fmt::format("user {} may do all that Weir needs", rights.user);
  } else if (facts.schema.state != schema::SchemaState::ok) {
    finding.verdict = Verdict::fail;
    finding.message = missing->what();
    finding.remedy = missing->remedy();
  } else {
    std::vector<std::string_view> roles;
    for (const RoleFact& role : facts.roles) {
      if (role.is_member) roles.push_back(role.name);
    }
    finding.message = roles.empty() ? fmt::format("user {} has none of Weir's roles", rights.user)
                                    : fmt::format("user {} has the rights of {}; it may not migrate",
                                                  rights.user, fmt::join(roles, ", "));
    if (roles.empty()) {
      finding.verdict = Verdict::warn;
      finding.remedy = fmt::format("As an administrator: GRANT weir_worker TO {};", rights.user);
    }
  }
  return finding;
}

Finding judge_roles(const DoctorFacts& facts) {
  std::vector<std::string_view> missing;
  std::vector<std::string_view> foreign;
  for (const RoleFact& role : facts.roles) {
    if (!role.present) missing.push_back(role.name);
    if (role.present && !role.is_group) foreign.push_back(role.name);
  }
  if (!foreign.empty()) {
    return {
        .check = "roles",
        .verdict = Verdict::warn,
        .message =
            fmt::format("{} can log in or have an administrator's attributes: Weir grants them nothing",
                        fmt::join(foreign, ", ")),
        .remedy = "Rename them, or make them plain groups (ALTER ROLE .. NOLOGIN), then weir db migrate."};
  }
  if (!missing.empty()) {
    const bool migrated = facts.schema.state == schema::SchemaState::ok;
    return {.check = "roles",
            .verdict = Verdict::warn,
            .message = fmt::format("missing: {}", fmt::join(missing, ", ")),
            .remedy = migrated
                          ? "As a user who may create roles: weir db migrate, which names the statements."
                          : "weir db migrate makes them."};
  }
  return {.check = "roles", .message = "weir_producer, weir_worker, weir_viewer are there"};
}

Finding judge_clock(const DoctorFacts& facts) {
  constexpr Duration kTolerated = std::chrono::seconds(2);
  const Duration offset = facts.server.clock_offset;
  const Duration distance = offset < Duration::zero() ? -offset : offset;
  // The answer came some time within the round trip: the offset is known give or take half of it.
  const Duration uncertainty = facts.server.round_trip / 2;
  Finding finding{.check = "clock"};
  if (distance <= uncertainty + kTolerated) {
    finding.message = fmt::format("the server's clock agrees with this machine's, within {}",
                                  human_duration(distance + uncertainty));
    return finding;
  }
  finding.verdict = Verdict::warn;
  finding.message =
      fmt::format("the server's clock is {} {} this machine's (give or take {})", human_duration(distance),
                  offset > Duration::zero() ? "ahead of" : "behind", human_duration(uncertainty));
  finding.remedy =
      "Let both machines set their clocks by NTP: schedules go by the server's, logs by this one's.";
  return finding;
}

Finding judge_encoding(const DoctorFacts& facts) {
  if (facts.encoding == "UTF8") return {.check = "encoding", .message = "UTF8"};
  return {.check = "encoding",
          .verdict = Verdict::fail,
          .message =
              fmt::format("the database's encoding is {}: texts beyond it cannot be stored", facts.encoding),
          .remedy = "Use a database made with: CREATE DATABASE .. ENCODING 'UTF8' TEMPLATE template0;"};
}

Finding judge_snapshots(const DoctorFacts& facts) {
  const auto old = std::find_if(facts.snapshots.begin(), facts.snapshots.end(), [](const SnapshotFact& s) {
    return s.transactions > kManyTransactions || s.age.value_or(Duration::zero()) > kOldSession;
  });
  if (old == facts.snapshots.end()) return {.check = "snapshots", .message = "no old transaction is open"};
  const std::string since = old->age ? fmt::format("for {}", human_duration(*old->age))
                                     : fmt::format("for {} transactions", old->transactions);
  Finding finding{.check = "snapshots", .verdict = Verdict::warn};
  if (old->kind == "session") {
    finding.message = fmt::format("{} has had a transaction open {}", old->holder, since);
    finding.remedy = "Dead rows pile up until it ends; SELECT pg_terminate_backend(PID) ends it.";
  } else if (old->kind == "prepared") {
    finding.message = fmt::format("the prepared transaction {} has been waiting {}", old->holder, since);
    finding.remedy = "COMMIT PREPARED or ROLLBACK PREPARED it: dead rows pile up until then.";
  } else {
    finding.message = fmt::format("replication slot {} has been holding rows back {}", old->holder, since);
    finding.remedy = "Start its consumer, or drop it: SELECT pg_drop_replication_slot(NAME).";
  }
  return finding;
}

Findings judge(const DoctorFacts& facts) {
  Findings all{judge_version(facts), judge_primary(facts), judge_pooler(facts), judge_budget(facts)};
  const Findings settings = judge_settings(facts);
  all.insert(all.end(), settings.begin(), settings.end());
  for (const auto check :
       {judge_schema, judge_rights, judge_roles, judge_clock, judge_encoding, judge_snapshots})
    all.push_back(check(facts));
  if (facts.work) {
    const Findings work = judge_work(*facts.work);
    all.insert(all.end(), work.begin(), work.end());
  }
  return all;
}

}  // namespace weir::cli
