#pragma once

#include <atomic>
#include <memory>
#include <optional>

#include "base/test_signal.h"
#include "base/thread_service.h"
#include "pg/connector.h"
#include "work/bed.h"
#include "work/completer.h"
#include "work/idle.h"
#include "work/inbox.h"
#include "work/keeper.h"
#include "work/portions.h"
#include "work/process.h"
#include "work/slots.h"

namespace weir::work {

struct RuntimeOptions {
  std::size_t slots = 4;                              ///< handlers that run at a time
  Duration drain = std::chrono::seconds(30);          ///< after a stop, for what has begun
  Duration longest_sleep = std::chrono::seconds(30);  ///< between two looks when nobody wakes us
  bool can_be_woken = true;                           ///< false behind a transaction pooler
  bool once = false;                                  ///< end when nothing is left
  std::size_t most_in_batch = 1000;                   ///< items that a handler gets at once
  /// Of a session of transactional mode with a statement of a handler. What is to end sooner has a limit of
  /// the server's; a server that answers nothing at all the network's keepalive finds.
  Duration patience = std::chrono::hours(24);
  bool prefetch = true;               ///< false: claims for slots that are free, and no more
  TestSignal<int>* asleep = nullptr;  ///< for tests: it lies down, nobody can have missed it
};

/// Claims from one source, runs handlers, settles, keeps house. This thread is the one that claims; stop()
/// drains: it claims no more, hands back what no slot has begun, waits for the rest as long as options.drain,
/// then stops handlers.
class Runtime final : public ThreadService {
 public:
  /// `process` has to be started before and stopped after.
  Runtime(std::shared_ptr<const pg::Connector> connector, Process& process, ClaimSource& source,
          HandlerFactory factory, RuntimeOptions options);
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
  ~Runtime() override;

  [[nodiscard]] std::string_view name() const noexcept override { return "runtime"; }
  /// Readable once there is nothing left, with options.once.
  [[nodiscard]] Wakeup& finished() noexcept { return finished_; }

  [[nodiscard]] std::uint64_t settled() const noexcept { return completer_.settled(); }
  [[nodiscard]] std::uint64_t refused() const noexcept { return completer_.refused(); }
  [[nodiscard]] std::size_t in_flight() const { return inbox_.in_flight(); }

 protected:
  void run(const std::stop_token& stop, const std::function<void()>& ready) override;

 private:
  void fetch(const std::stop_token& stop);
  /// One look; false when there is nothing left, with options.once.
  bool look(const std::shared_ptr<Life>& life, const std::stop_token& stop);
  std::shared_ptr<Claim> claim(const std::shared_ptr<Life>& life, std::size_t wanted, bool thorough,
                               const std::stop_token& stop);
  void resolve_doubt() noexcept;
  void pass_on(const Life& life, const std::stop_token& stop);
  void hand_out(const std::shared_ptr<Life>& life, const std::shared_ptr<Claim>& claim);
  void rest(const Idle::Action& action, std::size_t held, const std::stop_token& stop);
  /// Until the time, a notification, or, where it matters, until less is in flight than `held`: what was held
  /// when the caller decided to wait, for it may be settled by now.
  void wait_until(SteadyTime time, std::optional<std::size_t> held, const std::stop_token& stop);
  void drain();
  pg::Session& session(const Life& life, const std::stop_token& stop);

  std::shared_ptr<const pg::Connector> connector_;
  Process& process_;
  ClaimSource& source_;
  HandlerFactory factory_;
  RuntimeOptions options_;
  Appetite appetite_;

  Wakeup room_;
  std::atomic<bool> claim_soon_{false};  ///< the source has something that nobody will wake us for
  Wakeup finished_;
  Inbox inbox_;
  Completer completer_;
  Slots slots_;
  Keeper keeper_;

  // Of the fetching thread.
  Idle idle_;
  Bed bed_;
  bool more_ = false;   ///< the last claim left work behind
  bool woken_ = false;  ///< and has not found what for
  SteadyTime pass_on_due_{};
  std::optional<pg::Session> session_;
  std::int64_t session_life_ = 0;
  std::shared_ptr<Life> in_doubt_;  ///< of a claim whose answer did not come
};

}  // namespace weir::work
