#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "work/completer.h"
#include "work/handler.h"
#include "work/inbox.h"

namespace weir::work {

/// The threads that run handlers: each takes a portion from the inbox, runs its own handler, and passes the
/// outcomes on. Every item of a portion is settled, whatever the handler does.
class Slots {
 public:
  Slots(const pg::Connector& connector, Inbox& inbox, Completer& completer)
      : connector_(connector), inbox_(inbox), completer_(completer) {}
  Slots(const Slots&) = delete;
  Slots& operator=(const Slots&) = delete;
  ~Slots() { join(); }

  /// Throws what the factory throws.
  void start(std::size_t count, const HandlerFactory& factory);
  /// Ends the threads that wait for work. One that works ends with its portion.
  void join() noexcept;

 private:
  void work(Handler& handler, const Portion& portion);
  /// `count` items of the portion, from `first` of it on.
  std::vector<Outcome> run(Handler& handler, const Portion& portion, std::size_t first, std::size_t count,
                           const Inbox::Running& running) const;
  /// One by one, see Claim::in_order().
  std::vector<Outcome> run_in_order(Handler& handler, const Portion& portion,
                                    const Inbox::Running& running) const;
  /// With a session for the purpose: large payloads are rare.
  void load(const Portion& portion, std::size_t index, const std::stop_token& stop) const;

  const pg::Connector& connector_;
  Inbox& inbox_;
  Completer& completer_;
  std::vector<std::unique_ptr<Handler>> handlers_;
  std::vector<std::jthread> threads_;
};

/// Settles what a handler left open, by what became of its batch.
void settle_open(Batch& batch, const Inbox::Running* running);
/// Runs a handler on a batch and settles what it left open, by what became of it.
void run_guarded(Handler& handler, Batch& batch, const Inbox::Running* running = nullptr);

}  // namespace weir::work
