#include "cli/doctor/facts.h"

#include <algorithm>

#include "schema/queries/doctor.h"
#include "schema/queries/roles.h"

namespace weir::cli {
namespace {

Duration seconds(double value) { return from_seconds(value); }

}  // namespace

pg::Budget default_budget(int processes, int slots) {
  using pg::Role;
  return {.lines = {{Role::poll, 2},
                    {Role::recovery, 2},
                    {Role::listen, 1},
                    {Role::api, 2},
                    {Role::task, slots},
                    {Role::load, 2 * slots}},
          .processes = processes};
}

DoctorFacts gather_facts(const pg::Connector& connector, std::optional<int> processes, int slots,
                         const std::stop_token& stop) {
  DoctorFacts facts;
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
  if (facts.schema.state == schema::SchemaState::ok) facts.work = gather_work(session);
  const std::int64_t living = facts.work ? std::max<std::int64_t>(1, facts.work->living) : 1;
  facts.budget = default_budget(processes.value_or(static_cast<int>(living)), slots);
  return facts;
}

}  // namespace weir::cli
