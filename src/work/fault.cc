#include "work/fault.h"

#include <algorithm>
#include <array>

namespace weir::work {
namespace {

constexpr int kTimesToProve = 2;

template <std::size_t N>
bool is_among(std::string_view word, const std::array<std::string_view, N>& words) noexcept {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

Fault fault_of(std::string_view sqlstate) noexcept {
  if (sqlstate.empty()) return Fault::item;
  // A statement_timeout that the SQL has set, say.
  if (sqlstate == "57014") return Fault::item;
  // A limit of one session, such as temp_file_limit, and not of the server.
  if (sqlstate == "53400" || sqlstate == kFailedBefore) return Fault::unclear;
  // A lock that was not granted, a server that cannot be written to, a disk.
  constexpr std::array<std::string_view, 3> kNobodysStates{"55P03", "25006", "58030"};
  // Conflicts, the server's room, a snapshot that is too old.
  constexpr std::array<std::string_view, 3> kNobodysClasses{"40", "53", "72"};
  constexpr std::array<std::string_view, 5> kUnclearClasses{"08", "57", "58", "F0", "XX"};
  const std::string_view kind = sqlstate.substr(0, 2);
  if (is_among(sqlstate, kNobodysStates) || is_among(kind, kNobodysClasses)) return Fault::nobody;
  return is_among(kind, kUnclearClasses) ? Fault::unclear : Fault::item;
}

Fault fault_of(pg::ErrorKind kind, std::string_view sqlstate) noexcept {
  switch (kind) {
    case pg::ErrorKind::decode:
    case pg::ErrorKind::misuse: return Fault::item;
    case pg::ErrorKind::connect:
    case pg::ErrorKind::lost:
    case pg::ErrorKind::in_doubt:
    case pg::ErrorKind::deadline:
    case pg::ErrorKind::stopped:
    case pg::ErrorKind::exhausted: return Fault::unclear;
    case pg::ErrorKind::cancelled:
    case pg::ErrorKind::lock_timeout:
    case pg::ErrorKind::retryable:
    case pg::ErrorKind::server: break;
  }
  return fault_of(sqlstate);
}

Blame blame_for(const Failure& failure) noexcept {
  const Fault fault = fault_of(failure.kind, failure.sqlstate);
  if (!failure.session_lives || failure.stopping || fault == Fault::nobody) return Blame::nobody;
  if (!failure.alone) return Blame::divide;
  return fault == Fault::item || failure.times >= kTimesToProve ? Blame::item : Blame::again;
}

}  // namespace weir::work
