#include "load/write/apply_meter.h"

#include "pg/error.h"
#include "schema/queries/loads.h"

namespace weir::load {
namespace {

std::int64_t wal_position(pg::Session& session) {
  const auto answer = session.run<sql::LoadWalPosition>();
  return answer.one().bytes;
}

}  // namespace

ApplyMeter::ApplyMeter(pg::Session& session) {
  try {
    wal_ = wal_position(session);
  } catch (const pg::Error& error) {
    if (error.kind() != pg::ErrorKind::server) throw;
  }
}

void ApplyMeter::read(pg::Session& session, Applied& applied) const {
  applied.took = took();
  if (wal_ && session.is_open()) applied.wal_bytes = wal_position(session) - *wal_;
}

}  // namespace weir::load
