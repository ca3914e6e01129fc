#include "support/surroundings.h"

#include <unistd.h>

#include "pg/connector.h"
#include "support/processes.h"
#include "support/server.h"
#include "support/waiting.h"

namespace weir::test {
namespace {

constexpr const char* kLeftBehind =
    "SELECT concat_ws(' ', 'session', pid, usename, datname, application_name, state, left(query, 60))"
    "  FROM pg_stat_activity WHERE backend_type IN ('client backend', 'walsender') AND pid <> "
    "pg_backend_pid() "
    "UNION ALL SELECT 'database ' || datname FROM pg_database"
    " WHERE datname NOT IN ('template0', 'template1', 'postgres', 'weir', 'weir_schema') "
    "UNION ALL SELECT 'role ' || rolname FROM pg_roles WHERE rolname !~ '^pg_' AND rolname !~ '^weir' "
    "UNION ALL SELECT 'prepared transaction ' || gid FROM pg_prepared_xacts "
    "UNION ALL SELECT 'replication slot ' || slot_name FROM pg_replication_slots";

/// Processes and sessions end a moment after whoever used them.
template <class Look>
void expect_nothing_left(const char* where, const Look& look) {
  std::string left;
  try {
    wait_until([&] { return (left = look()).empty(); }, where, std::chrono::seconds(30));
  } catch (const std::exception& error) {
    ADD_FAILURE() << "the tests left behind:" << left << "\n  " << error.what();
  }
}

std::string on_server(pg::Session& session) {
  std::string left;
  const pg::Result result = session.execute(kLeftBehind);
  for (const pg::Row row : result) left += "\n  " + row.get<std::string>(0);
  return left;
}

std::string child_processes() {
  std::string left;
  for (const pid_t child : children_of(::getpid())) left += "\n  process " + describe_process(child);
  return left;
}

}  // namespace

Surroundings::Surroundings() : owner_(::getpid()) {}

void Surroundings::TearDown() {
  // A death test's process is a copy of ours, and must not stop our server.
  if (::getpid() != owner_) return;
  if (const TestServer* server = TestServer::shared_if_started()) {
    try {
      pg::Session session = pg::Connector(server->conninfo()).connect(pg::Role::api, "test-admin");
      expect_nothing_left("the shared server to be empty", [&] { return on_server(session); });
    } catch (const std::exception& error) {
      ADD_FAILURE() << "the shared server cannot be asked any more: " << error.what();
    }
    TestServer::stop_shared();
  }
  expect_nothing_left("the child processes to end", child_processes);
}

}  // namespace weir::test
