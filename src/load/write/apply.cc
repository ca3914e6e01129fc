#include "load/write/apply.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"
#include "load/write/apply_attempt.h"
#include "load/write/apply_meter.h"
#include "load/write/doubt.h"
#include "load/write/patience.h"
#include "load/write/swap.h"
#include "pg/transaction.h"

namespace weir::load {
namespace {

/// JSON's null where nobody knows how many there were.
std::string known(std::int64_t count, std::int64_t value) {
  return count < 0 ? "null" : std::to_string(value);
}

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
        if (attempt >= options_.attempts) give_up(connect_, target_, attempt, why);
      } catch (const NotCarriedOut&) {
        why = "the answer to COMMIT was lost, and it was not carried out";
        if (attempt >= options_.attempts) give_up(connect_, target_, attempt, why);
      } catch (const pg::Retryable& error) {
        why = error.what();
        if (attempt >= options_.attempts) throw;
      } catch (const pg::LockTimeout& error) {
        why = error.what();
        if (attempt >= options_.attempts) give_up(connect_, target_, attempt, why);
      } catch (const pg::ConnectionLost& error) {
        why = error.what();
        // A server that restarts takes no sessions for a while.
        const bool again =
            error.kind() == pg::ErrorKind::lost || (attempt > 1 && error.kind() == pg::ErrorKind::connect);
        if (attempt >= options_.attempts || !again) throw;
      }
      wait_to_retry(options_, attempt, why);
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
      run(body, attempt, transaction, meter);
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
    applied.took = meter.took();  // the server is asked nothing more: what it answers would change nothing
    return applied;
  }

  /// What one attempt has waited the next one does not forget.
  void run(ApplyAttempt& body, int attempt, pg::Transaction& transaction, const ApplyMeter& meter) {
    body.result().attempts = attempt;
    body.result().longest_wait = std::max(body.result().longest_wait, longest_wait_);
    try {
      body.run(transaction, meter);
    } catch (const pg::LockTimeout&) {
      longest_wait_ = std::max(body.result().longest_wait, options_.lock_timeout);
      throw;
    } catch (...) {
      longest_wait_ = body.result().longest_wait;
      throw;
    }
    longest_wait_ = body.result().longest_wait;
  }

  /// Rows that a trigger takes out look the same as rows that are gone.
  [[nodiscard]] std::string skipping_triggers() const {
    std::string names;
    for (const Dependent* trigger : target_.dependents_of(Dependent::Kind::trigger))
      names += (names.empty() ? "" : ", ") + printable(trigger->name);
    return names.empty() ? names : fmt::format(", or a trigger has skipped them: {}", names);
  }

  const std::function<pg::Session()>& connect_;
  const Target& target_;
  const LoadSpec& spec_;
  const Stage::Sealed& stage_;
  const std::optional<StateChange>& state_;
  const ApplyOptions& options_;
  bool withhold_deletes_ = false;
  Duration longest_wait_{};
};

std::int64_t to_millis(Duration span) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(span).count();
}

}  // namespace

Applied Applied::behind(const ApplyOptions& options) {
  Applied applied;
  applied.longest_wait = options.waited;
  if (!options.altered) return applied;
  applied.strongest_lock = LockMode::access_exclusive;
  applied.longest_wait = std::max(applied.longest_wait, options.altered->longest_wait);
  applied.waiting = options.altered->waiting;
  return applied;
}

std::string Applied::to_json(std::string_view losses) const {
  const std::string_view inside = losses.substr(1, losses.size() - 2);
  return fmt::format(
      R"({{"inserted":{},"updated":{},"deleted":{},"unchanged":{},"closed":{},"duplicates":{},"rejected":{},)"
      R"("withheld_deletes":{},"rows_before":{},"wal_bytes":{},"strongest_lock":"{}","longest_wait_ms":{},)"
      R"("readers_waited":{},"longest_reader_wait_ms":{},"others_waited":{},"longest_other_wait_ms":{},)"
      R"("dead_rows":{},"attempts":{},"took_ms":{}{}{}}})",
      inserted, updated, deleted, unchanged, closed, duplicates, rejected, withheld_deletes, rows_before,
      wal_bytes ? std::to_string(*wal_bytes) : "null", to_string(strongest_lock), to_millis(longest_wait),
      known(waiting.readers, waiting.readers), known(waiting.readers, to_millis(waiting.longest_reader)),
      known(waiting.others, waiting.others), known(waiting.others, to_millis(waiting.longest_other)),
      dead_rows, attempts, to_millis(took), inside.empty() ? "" : ",", inside);
}

Applied apply(const std::function<pg::Session()>& connect, const Target& target, const LoadSpec& spec,
              const Stage::Sealed& stage, const std::optional<StateChange>& state,
              const ApplyOptions& options) {
  if (spec.mode == Mode::swap || spec.mode == Mode::partition_swap)
    return swap(connect, target, spec, stage, state, options);
  return Apply(connect, target, spec, stage, state, options).run();
}

}  // namespace weir::load
