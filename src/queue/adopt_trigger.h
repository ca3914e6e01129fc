#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "pg/limit.h"
#include "queue/adopt_definition.h"

namespace weir::pg {
class Session;
}

namespace weir::queue {

/// The channel that the trigger of a table notifies.
std::string wake_channel(std::int64_t table_id);

/// Whether consumers of the table may rely on being woken.
bool has_wake_trigger(pg::Session& session, std::int64_t table_id);

struct TriggerOptions {
  /// Others wait behind a lock that waits: so it waits shortly, and steps back.
  Duration lock_timeout = std::chrono::milliseconds(500);
  pg::Limit limit = pg::Limit::within(std::chrono::minutes(2));
  std::function<void(int attempt)> on_retry{};
};

/// CREATE TRIGGER takes SHARE ROW EXCLUSIVE on the table: writers wait while it is made, readers do not.
/// False when it was there, and on. Needs schema weir (weir.wake_consumers()), and the right TRIGGER on the
/// table.
bool install_wake_trigger(pg::Session& session, const AdoptFacts& table, const TriggerOptions& options);

/// DROP TRIGGER takes ACCESS EXCLUSIVE, for a moment. False when there was none.
bool remove_wake_trigger(pg::Session& session, const AdoptFacts& table, const TriggerOptions& options);

}  // namespace weir::queue
