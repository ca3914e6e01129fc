#include "group/ending.h"

#include <utility>

#include <fmt/format.h>

#include "base/text.h"

namespace weir::group {

std::string_view to_string(Ending::Kind kind) noexcept {
  switch (kind) {
    case Ending::Kind::succeeded: return "succeeded";
    case Ending::Kind::retry: return "retry";
    case Ending::Kind::failed: return "failed";
    case Ending::Kind::returned: return "returned";
  }
  return "unknown";
}

Ending decide_ending(const work::Outcome& outcome, int attempt, const SinkDefinition& sink) {
  using Kind = work::Outcome::Kind;
  const auto try_again = [&](Duration delay) -> Ending {
    // An end that the server refused to store would be no end.
    std::string reason = storable_text(outcome.text());
    if (attempt < sink.max_attempts) return {Ending::Kind::retry, std::move(reason), delay};
    return {Ending::Kind::failed, fmt::format("failed {} times: {}", attempt, reason)};
  };
  switch (outcome.kind()) {
    case Kind::done: return {Ending::Kind::succeeded, std::nullopt};
    case Kind::failed: return try_again(sink.backoff * attempt);
    case Kind::retry: return try_again(outcome.delay());
    case Kind::discarded: return {Ending::Kind::failed, storable_text(outcome.text())};
    case Kind::snoozed: {
      std::optional<std::string> reason;
      if (!outcome.text().empty()) reason = storable_text(outcome.text());
      return {Ending::Kind::returned, std::move(reason), outcome.delay()};
    }
    case Kind::returned:
    case Kind::open: break;
  }
  return {Ending::Kind::returned, std::nullopt};
}

}  // namespace weir::group
