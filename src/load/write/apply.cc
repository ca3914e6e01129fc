#include "load/write/apply.h"

#include <fmt/format.h>

#include "base/text.h"
#include "base/wait.h"
#include "load/write/apply_attempt.h"
#include "load/write/apply_meter.h"
#include "load/write/doubt.h"
#include "load/write/patience.h"
#include "load/write/swap.h"
#include "pg/transaction.h"
#include "schema/queries/loads.h"

namespace weir::load {
namespace {

/// The attempt was lost at its COMMIT, and is known to be undone.
struct NotCarriedOut {};

class Apply {
 public:
  Apply(const std::function<pg::Session()>& connect, const Target& target, const LoadSpec& spec,
        const Stage::Sealed& stage, const std::optional<StateChange>& state, const ApplyOptions& options)
      : connect_(connect), target_(target), spec_(spec), stage_(stage), state_(state), options_(options) {}

  Applied run() {
    for (int attempt = 1;; ++attempt) {
      std::string why;
      try {
        if (std::optional<Applied> applied = try_once(attempt)) return std::move(*applied);
        why = "the deletes have to wait for what is refused";
      } catch (const Interference& met) {
        why = fmt::format("others wrote the same rows ({})", met.what) + skipping_triggers();
        if (attempt >= options_.attempts) give_up(attempt, why);
      } catch (const NotCarriedOut&) {
        why = "the answer to COMMIT was lost, and it was not carried out";
        if (attempt >= options_.attempts) give_up(attempt, why);
      } catch (const pg::Retryable& error) {
        why = error.what();
        if (attempt >= options_.attempts) throw;
      } catch (const pg::LockTimeout& error) {
        why = error.what();
        if (attempt >= options_.attempts) give_up(attempt, why);
      } catch (const pg::ConnectionLost& error) {
        why = error.what();
        // A server that restarts takes no sessions for a while.
        const bool again =
            error.kind() == pg::ErrorKind::lost || (attempt > 1 && error.kind() == pg::ErrorKind::connect);
        if (attempt >= options_.attempts || !again) throw;
      }
      pause(attempt, why);
    }
  }

 private:
  /// Nothing when it has to be tried again with all deletes withheld.
  std::optional<Applied> try_once(int attempt) {
    pg::Session session = connect_();
    // The server's own limits end a statement; hours may be right for one.
    session.set_timeout(std::chrono::hours(24));
    session.set_stop(options_.stop);
    const ApplyMeter meter(session);
    Applied applied;
    try {
      pg::Transaction transaction(session);
      ApplyAttempt body(session, target_, spec_, stage_, state_, options_, withhold_deletes_);
      body.result().attempts = attempt;
      body.run(transaction, meter);
      if (body.must_withhold()) {
        withhold_deletes_ = true;
        return std::nullopt;
      }
      applied = body.result();
      if (options_.before_commit) options_.before_commit(session);
      transaction.commit();
    } catch (const pg::InDoubt& doubt) {
      if (!was_applied(connect_, target_, stage_.run, options_, doubt)) throw NotCarriedOut{};
      applied.was_in_doubt = true;
    }
    meter.read(session, applied);
    return applied;
  }

  /// Rows that a trigger takes out look the same as rows that are gone.
  [[nodiscard]] std::string skipping_triggers() const {
    std::string names;
    for (const Dependent* trigger : target_.dependents_of(Dependent::Kind::trigger))
      names += (names.empty() ? "" : ", ") + printable(trigger->name);
    return names.empty() ? names : fmt::format(", or a trigger has skipped them: {}", names);
  }

  bool waited(Duration delay) {
    Wakeup wakeup;
    return wait_fd(-1, 0, Deadline::after(delay), options_.stop, wakeup) != WaitEnd::stopped;
  }

  void pause(int attempt, const std::string& why) {
    const Duration delay = retry_pause(attempt);
    tell({.kind = ApplyEvent::Kind::retrying, .text = why, .delay = delay});
    if (!waited(delay))
      pg::raise({.kind = pg::ErrorKind::stopped, .message = "stopped between two attempts to write"});
  }

  [[noreturn]] void give_up(int attempts, const std::string& why) {
    std::string message =
        fmt::format("{} was not loaded: {} (tried {} times)", target_.label(), why, attempts);
    try {
      pg::Session session = connect_();
      const auto holders = session.run<sql::LoadLockHolders>(std::int64_t{target_.oid});
      for (const auto holder : holders) message += "; there is " + printable(holder.description);
    } catch (const pg::Error&) {
      // the failure itself is what has to be reported
    }
    throw Error(ExitCode::failed, message, "Nothing was written. Run it again when they have finished.");
  }

  void tell(const ApplyEvent& event) const {
    if (options_.on_event) options_.on_event(event);
  }

  const std::function<pg::Session()>& connect_;
  const Target& target_;
  const LoadSpec& spec_;
  const Stage::Sealed& stage_;
  const std::optional<StateChange>& state_;
  const ApplyOptions& options_;
  bool withhold_deletes_ = false;
};

}  // namespace

std::string Applied::to_json() const {
  return fmt::format(
      R"({{"inserted":{},"updated":{},"deleted":{},"unchanged":{},"closed":{},"duplicates":{},"rejected":{},)"
      R"("withheld_deletes":{},"rows_before":{},"wal_bytes":{},"strongest_lock":"{}","longest_wait_ms":{},)"
      R"("dead_rows":{},"attempts":{},"took_ms":{}}})",
      inserted, updated, deleted, unchanged, closed, duplicates, rejected, withheld_deletes, rows_before,
      wal_bytes ? std::to_string(*wal_bytes) : "null", to_string(strongest_lock),
      std::chrono::duration_cast<std::chrono::milliseconds>(longest_wait).count(), dead_rows, attempts,
      std::chrono::duration_cast<std::chrono::milliseconds>(took).count());
}

Applied apply(const std::function<pg::Session()>& connect, const Target& target, const LoadSpec& spec,
              const Stage::Sealed& stage, const std::optional<StateChange>& state,
              const ApplyOptions& options) {
  if (spec.mode == Mode::swap || spec.mode == Mode::partition_swap)
    return swap(connect, target, spec, stage, state, options);
  return Apply(connect, target, spec, stage, state, options).run();
}

}  // namespace weir::load
