#include "load/write/doubt.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/wait.h"
#include "load/write/patience.h"
#include "pg/transaction.h"
#include "schema/queries/loads.h"

namespace weir::load {
namespace {

constexpr Duration kLeastWait = std::chrono::seconds(10);

[[noreturn]] void still_in_doubt(const pg::InDoubt& doubt, std::int64_t run) {
  pg::ErrorInfo info = doubt.info();
  info.hint = fmt::format(
      "weir load show {} tells what became of it: applied, or not. Run the load again only where it was not.",
      run);
  throw pg::InDoubt(std::move(info));
}

}  // namespace

bool was_applied(const std::function<pg::Session()>& connect, const Target& target, std::int64_t run,
                 const ApplyOptions& options, const pg::InDoubt& doubt) {
  if (options.on_event) options.on_event({.kind = ApplyEvent::Kind::in_doubt, .text = doubt.what()});
  for (int attempt = 1;; ++attempt) {
    try {
      pg::Session session = connect();
      // However short a wait for others was wished: without an answer nobody knows what became of the load.
      session.set_timeout(std::max<Duration>(options.target_wait, kLeastWait));
      pg::Transaction transaction(session);
      session.run<sql::LoadLockTarget>(std::int64_t{target.oid});
      const auto outcome = session.run<sql::LoadRunOutcome>(run);
      return outcome.one().state == "applied";
    } catch (const pg::ConnectionLost&) {
      if (attempt >= options.attempts) still_in_doubt(doubt, run);
    } catch (const pg::Error&) {
      still_in_doubt(doubt, run);
    }
    Wakeup wakeup;
    if (wait_fd(-1, 0, Deadline::after(retry_pause(attempt)), options.stop, wakeup) == WaitEnd::stopped)
      still_in_doubt(doubt, run);
  }
}

}  // namespace weir::load
