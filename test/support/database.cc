#include "support/database.h"

#include "pg/identifier.h"
#include "schema/migrator.h"
#include "support/waiting.h"

namespace weir::test {
namespace {

pg::Session administrator() {
  return pg::Connector(TestServer::shared().conninfo()).connect(pg::Role::api, "test-admin");
}

/// What the test left behind, a line each; empty when all is clean. Server processes end a moment after their
/// clients.
constexpr const char* kLeftBehind =
    "SELECT concat_ws(' ', 'session', a.pid, a.application_name, a.state, left(a.query, 60))"
    "  FROM pg_stat_activity a WHERE a.datname = $1 AND a.pid <> pg_backend_pid() AND a.backend_type = "
    "'client backend' "
    "UNION ALL "
    "SELECT concat_ws(' ', 'advisory lock', l.classid, l.objid, 'of', l.pid)"
    "  FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
    " WHERE d.datname = $1 AND l.locktype = 'advisory' "
    "UNION ALL "
    "SELECT concat_ws(' ', 'prepared transaction', gid) FROM pg_prepared_xacts WHERE database = $1";

/// Copying the files is several times faster than logging each page, where no checkpoint has to reach a disk.
void create_database(pg::Session& admin, const std::string& name, const std::string& like) {
  admin.execute("CREATE DATABASE " + pg::quote_identifier(name) + " TEMPLATE " + pg::quote_identifier(like) +
                (admin.server_version() >= 150000 ? " STRATEGY file_copy" : ""));
}

/// Migrated once for all tests of the program: to copy it is ten times faster than to migrate.
const std::string& database_with_schema(pg::Session& admin) {
  static const std::string name = [&admin] {
    std::string made = "weir_schema";
    // There is one already where its migration has failed.
    admin.execute("DROP DATABASE IF EXISTS " + made);
    create_database(admin, made, "template1");
    pg::Session session =
        pg::Connector(TestServer::shared().conninfo(made)).connect(pg::Role::api, "test-admin");
    schema::migrate(session);
    return made;
  }();
  return name;
}

}  // namespace

void PgTest::SetUp() {
  wait_past_midnight(std::chrono::minutes(1), std::chrono::seconds(1));
  static int count = 0;
  database_ = "test_" + std::to_string(++count);
  pg::Session admin = administrator();
  create_database(admin, database_, holds_ == Holds::schema ? database_with_schema(admin) : "template1");
  connector_ = std::make_shared<const pg::Connector>(TestServer::shared().conninfo(database_));
}

void PgTest::TearDown() {
  if (database_.empty()) return;
  pg::Session admin = administrator();
  // A test that broke off has left its things behind for that reason.
  if (!HasFatalFailure()) check_for_leaks(admin);
  admin.execute("DROP DATABASE " + pg::quote_identifier(database_) + " WITH (FORCE)");
}

void PgTest::check_for_leaks(pg::Session& admin) const {
  std::string left;
  const auto is_clean = [&] {
    left.clear();
    const pg::Result result = admin.execute(kLeftBehind, database_);
    for (const pg::Row row : result) left += "\n  " + row.get<std::string>(0);
    return left.empty();
  };
  try {
    wait_until(is_clean, "the test's sessions to end", patience_);
    pg::Session inside = session();
    const pg::Result temporary =
        inside.execute("SELECT relname::text FROM pg_class WHERE relpersistence = 't' AND relkind = 'r'");
    for (const pg::Row row : temporary) left += "\n  temporary table " + row.get<std::string>(0);
  } catch (const std::exception& error) {
    if (left.empty()) left = std::string("\n  ") + error.what();
  }
  if (!left.empty()) ADD_FAILURE() << "the test left behind:" << left;
}

pg::Connector PgTest::users_connector() const {
  return {connector_->conninfo(), {.users_search_path = true}};
}

std::string PgTest::url() const { return connector_->conninfo().url(); }
std::string PgTest::tcp_url() const { return tcp_conninfo().url(); }

}  // namespace weir::test
