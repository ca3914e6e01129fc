#include "load/write/waiting.h"

#include <algorithm>

#include "pg/session.h"
#include "schema/queries/loads.h"

namespace weir::load {
namespace {

Duration of_seconds(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

}  // namespace

void Waiting::add(const Waiting& more) noexcept {
  readers += more.readers;
  others += more.others;
  longest_reader = std::max(longest_reader, more.longest_reader);
  longest_other = std::max(longest_other, more.longest_other);
}

Waiting look_who_waits(pg::Session& session) {
  const auto answer = session.run<sql::LoadWaiting>();
  const auto row = answer.one();
  return {.readers = row.readers,
          .longest_reader = of_seconds(row.reader_seconds),
          .others = row.others,
          .longest_other = of_seconds(row.other_seconds)};
}

}  // namespace weir::load
