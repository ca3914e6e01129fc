#include "cli/doctor/facts.h"

#include "schema/queries.h"

namespace weir::cli {
namespace {

Duration seconds(double value) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(value));
}

}  // namespace

pg::Budget default_budget(int processes) {
  using pg::Role;
  return {.lines = {{Role::poll, 1},
                    {Role::recovery, 1},
                    {Role::group, 16},
                    {Role::listen, 1},
                    {Role::load, 2},
                    {Role::task, 4},
                    {Role::api, 4}},
          .processes = processes};
}

DoctorFacts gather_facts(const pg::Connector& connector, const pg::Budget& budget,
                         const std::stop_token& stop) {
  DoctorFacts facts;
  facts.budget = budget;

  pg::Session session = connector.connect(pg::Role::api, "doctor", {.stop = stop});
  session.set_stop(stop);
  facts.pooling = pg::detect_pooling(connector, {.stop = stop});
  facts.server = schema::fetch_server_info(session);
  facts.schema = schema::check_schema(session);
  facts.rights = schema::migration_rights(session);
  const auto roles = session.run<sql::GroupRoles>();
  for (const auto role : roles)
    facts.roles.push_back({std::string(role.role), role.present, role.is_group, role.is_member});
  const auto encoding = session.run<sql::DatabaseEncoding>();
  facts.encoding = encoding.one().encoding;
  const auto path = session.run<sql::OwnSearchPath>();
  facts.own_search_path = path.one().own;
  const auto snapshots = session.run<sql::OldestSnapshots>();
  for (const auto row : snapshots) {
    SnapshotFact& fact = facts.snapshots.emplace_back();
    fact.kind = row.kind;
    fact.holder = row.holder;
    if (row.age_seconds) fact.age = seconds(*row.age_seconds);
    fact.transactions = row.transactions;
  }
  return facts;
}

}  // namespace weir::cli
