#include "load/write/waiting.h"

#include <algorithm>

#include "pg/error.h"
#include "pg/session.h"
#include "schema/queries/loads.h"

namespace weir::load {
namespace {

Duration of_seconds(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

std::int64_t sum(std::int64_t one, std::int64_t other) noexcept {
  return one < 0 || other < 0 ? Waiting::kNotKnown : one + other;
}

Waiting ask(pg::Session& session) {
  const auto answer = session.run<sql::LoadWaiting>();
  const auto row = answer.one();
  return {.readers = row.readers,
          .longest_reader = of_seconds(row.reader_seconds),
          .others = row.others,
          .longest_other = of_seconds(row.other_seconds)};
}

}  // namespace

void Waiting::add(const Waiting& more) noexcept {
  readers = sum(readers, more.readers);
  others = sum(others, more.others);
  longest_reader = std::max(longest_reader, more.longest_reader);
  longest_other = std::max(longest_other, more.longest_other);
}

Waiting look_who_waits(pg::Session& session) {
  session.execute("SAVEPOINT weir_waiting");
  Waiting waiting;
  try {
    waiting = ask(session);
  } catch (const pg::Error& error) {
    // A right, or a statement_timeout that is shorter than this takes: the rows are written, and this is only
    // of interest.
    if (error.kind() != pg::ErrorKind::server && error.kind() != pg::ErrorKind::cancelled) throw;
    session.execute("ROLLBACK TO SAVEPOINT weir_waiting");
    waiting.readers = waiting.others = Waiting::kNotKnown;
  }
  session.execute("RELEASE SAVEPOINT weir_waiting");
  return waiting;
}

}  // namespace weir::load
