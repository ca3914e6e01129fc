#include "load/write/patience.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include <fmt/format.h>

#include "base/text.h"
#include "base/wait.h"
#include "pg/error.h"
#include "schema/queries/loads.h"

namespace weir::load {
namespace {

/// Of any setting of the server, 24 days.
constexpr std::int64_t kMostMillis = std::numeric_limits<std::int32_t>::max();

}  // namespace

std::string limit_of(Duration span) {
  const auto millis = std::chrono::ceil<std::chrono::milliseconds>(span);
  return std::to_string(std::clamp<std::int64_t>(millis.count(), 1, kMostMillis)) + "ms";
}

void wait_to_retry(const ApplyOptions& options, int attempt, const std::string& why) {
  const Duration delay = retry_pause(attempt);
  if (options.on_event) options.on_event({.kind = ApplyEvent::Kind::retrying, .text = why, .delay = delay});
  Wakeup wakeup;
  if (wait_fd(-1, 0, Deadline::after(delay), options.stop, wakeup) == WaitEnd::stopped)
    pg::raise({.kind = pg::ErrorKind::stopped, .message = "stopped between two attempts to write"});
}

void give_up(const std::function<pg::Session()>& connect, const Target& target, int attempts,
             const std::string& why) {
  std::string message = fmt::format("{} was not loaded: {} (tried {} times)", target.label(), why, attempts);
  try {
    pg::Session session = connect();
    const auto holders = session.run<sql::LoadLockHolders>(std::int64_t{target.oid});
    for (const auto holder : holders) message += "; there is " + printable(holder.description);
  } catch (const pg::Error&) {
    // the failure itself is what has to be reported
  }
  throw Error(ExitCode::failed, message, "Nothing was written. Run it again when they have finished.");
}

void refuse_moved(const Target& target) {
  throw TargetMoved(ExitCode::refused,
                    fmt::format("{} is another table now than when the load began", target.label()),
                    "It was replaced or changed meanwhile; nothing was written. Run the load again.");
}

bool is_gone(const pg::Error& error) {
  if (error.kind() != pg::ErrorKind::server) return false;
  const std::string& message = error.info().message;
  return error.sqlstate() == "42P01" ||
         (error.sqlstate() == "XX000" &&
          (message.find("could not open relation with OID") != std::string::npos ||
           message.find("cache lookup failed for") != std::string::npos));
}

}  // namespace weir::load
