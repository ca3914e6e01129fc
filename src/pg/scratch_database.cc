#include "pg/scratch_database.h"

#include <exception>

#include <unistd.h>

#include <fmt/format.h>

#include "base/log.h"
#include "pg/identifier.h"

namespace weir::pg {
namespace {

void drop_leftovers(Session& session, const std::string& prefix) {
  const Result left = session.execute(
      "SELECT d.datname::text FROM pg_catalog.pg_database d WHERE d.datname ~ ('^' || $1::text || "
      "'_[0-9]+$') AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid)",
      prefix);
  for (const auto& row : left)
    session.execute("DROP DATABASE IF EXISTS " + quote_identifier(row.get<std::string>(0)));
}

}  // namespace

ScratchDatabase::ScratchDatabase(const Conninfo& server, const std::string& prefix,
                                 const std::stop_token& stop)
    : server_(server), name_(fmt::format("{}_{}", prefix, ::getpid())) {
  Session session = server_.connect(Role::api, "demo", {.stop = stop});
  drop_leftovers(session, prefix);
  session.execute("CREATE DATABASE " + quote_identifier(name_));
}

ScratchDatabase::~ScratchDatabase() {
  try {
    // Also after Ctrl-C: no stop token.
    server_.connect(Role::api, "demo")
        .execute("DROP DATABASE IF EXISTS " + quote_identifier(name_) + " WITH (FORCE)");
  } catch (const std::exception& error) {
    log::warn("a demo's database is left behind; the next demo drops it",
              {{"database", name_}, {"error", error.what()}});
  }
}

Conninfo ScratchDatabase::conninfo() const {
  Conninfo conninfo = server_.conninfo();
  conninfo.set("dbname", name_);
  return conninfo;
}

}  // namespace weir::pg
