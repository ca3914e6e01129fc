#include "group/feed_lock.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/backoff.h"
#include "base/error.h"
#include "base/text.h"
#include "base/wait.h"
#include "pg/error.h"
#include "pg/transaction.h"

namespace weir::group {
namespace {

constexpr std::string_view kEachTry = "200ms";
constexpr Duration kLongestWait = std::chrono::minutes(1);
/// As long as a try and longer: between two of them those who waited behind the first have their turn.
constexpr BackoffPolicy kBetween{.base = std::chrono::milliseconds(200), .cap = std::chrono::seconds(2)};

}  // namespace

void until_feed_is_free(std::string_view feed, const std::stop_token& stop,
                        const std::function<void()>& attempt) {
  const Deadline deadline = Deadline::after(kLongestWait);
  Wakeup unused;
  for (int tries = 1;; ++tries) {
    try {
      return attempt();
    } catch (const pg::LockTimeout&) {
      if (deadline.expired()) {
        throw Error(
            ExitCode::refused,
            fmt::format("somebody has had batches of the feed {} in an open transaction for {}",
                        printable(feed), human_duration(kLongestWait)),
            "This is done between two transactions of those who submit batches or apply them: try "
            "again when they have ended. pg_stat_activity shows transactions that are open for long.");
      }
    }
    const Deadline next = Deadline::after(backoff_delay(kBetween, tries, random_unit()));
    if (wait_fd(-1, 0, next, stop, unused) == WaitEnd::stopped)
      pg::raise({.kind = pg::ErrorKind::stopped, .message = "stopped between two tries for the feed"});
  }
}

void with_feed_to_oneself(pg::Session& session, std::string_view feed, const std::function<void()>& work) {
  until_feed_is_free(feed, session.limit().stop, [&] {
    pg::Transaction transaction(session);
    transaction.set_local("lock_timeout", kEachTry);
    work();
    transaction.commit();
  });
}

}  // namespace weir::group
