#include "load/write/target_lock.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "load/write/patience.h"
#include "pg/error.h"
#include "pg/pooler.h"
#include "schema/queries/loads.h"

namespace weir::load {
namespace {

bool is_free(pg::Session& session, std::int64_t id, bool to_the_end) {
  if (to_the_end) {
    const auto held = session.run<sql::LoadTryHoldTarget>(id);
    return held.one().locked;
  }
  const auto locked = session.run<sql::LoadTryLockTarget>(id);
  return locked.one().locked;
}

}  // namespace

Duration lock_target(pg::Session& session, const Target& target, const ApplyOptions& options,
                     TargetLock span) {
  const std::int64_t id = target.oid;
  const bool to_the_end = span == TargetLock::session;
  if (is_free(session, id, to_the_end)) return {};
  if (options.on_event) {
    options.on_event({.kind = ApplyEvent::Kind::waiting,
                      .text = fmt::format("waiting for another load of {}, at most {}", target.label(),
                                          human_duration(options.target_wait))});
  }
  const SteadyTime before = std::chrono::steady_clock::now();
  session.execute("SELECT set_config('lock_timeout', $1, $2)", limit_of(options.target_wait), !to_the_end);
  try {
    if (to_the_end) {
      session.run<sql::LoadHoldTarget>(id);
    } else {
      session.run<sql::LoadLockTarget>(id);
    }
  } catch (const pg::LockTimeout&) {
    throw Error(ExitCode::failed,
                fmt::format("another load of {} did not end within {}", target.label(),
                            human_duration(options.target_wait)),
                "Nothing was written. Run it again when that has ended, or wait longer: --wait 1h");
  }
  return std::chrono::steady_clock::now() - before;
}

Duration lock_by_name(pg::Session& session, const std::string& sql) {
  const SteadyTime before = std::chrono::steady_clock::now();
  session.execute("SAVEPOINT weir_lock");
  try {
    session.execute(sql);
  } catch (const pg::Error& error) {
    if (error.sqlstate() != "42501") throw;
    session.execute("ROLLBACK TO SAVEPOINT weir_lock");
  }
  session.execute("RELEASE SAVEPOINT weir_lock");
  return std::chrono::steady_clock::now() - before;
}

void require_own_session(pg::Session& session, const pg::Connector& connector) {
  pg::require_session_state(session, connector,
                            "a load, which holds locks from one transaction to the next,");
}

}  // namespace weir::load
