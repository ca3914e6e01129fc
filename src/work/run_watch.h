#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "pg/error.h"
#include "pg/session.h"

namespace weir::work {

/// Said of an attempt that its queue's timeout has ended, in either mode.
inline constexpr std::string_view kRanOver = "it took longer than its queue allows";

/// Keeps a time limit over one run of a handler within a transaction. At the limit the handler is asked to
/// stop, and the server to cancel what runs, again and again; who is not back within its grace after that
/// loses the session, and the transaction with it. Used in the thread of the session; it has one of its own,
/// so whoever sets a limit pays for a thread a run.
class RunWatch {
 public:
  /// Without a limit it does nothing, and stop() is the worker's. `given_up` is called, in whichever thread,
  /// before the session goes for it, and so before anybody else can have its work: also of a handler that
  /// never comes back.
  RunWatch(pg::Session& session, std::stop_token stop, std::optional<Duration> limit,
           std::function<void()> given_up);
  RunWatch(const RunWatch&) = delete;
  RunWatch& operator=(const RunWatch&) = delete;
  ~RunWatch();

  /// For the handler: the worker's stop, or the limit.
  [[nodiscard]] std::stop_token stop() const noexcept;
  /// The run is over: once it returns nothing that is sent in the session is cancelled from here. A request
  /// whose delivery is not known may come at any time, so then the session is closed.
  void end() noexcept;
  /// Fixed from end() on.
  [[nodiscard]] bool ran_over() const noexcept;
  /// The session is gone after all. Once `given_up` was called this does nothing.
  void give_up() noexcept;

  /// What is left to who was asked to stop, until his session goes.
  static Duration grace(Duration limit) noexcept;

 private:
  struct Watching;

  pg::Session& session_;
  std::stop_token worker_stop_;
  std::unique_ptr<Watching> watching_;
  bool ended_ = false;
};

/// A run took too long, and its session had to go with all of the transaction: whose attempt it was has to be
/// written in another one.
class RanOver : public Error {
 public:
  RanOver();
};

/// Whether a statement was cancelled by the server because of this limit (statement_timeout), and not before
/// it by somebody.
bool is_of_limit(const pg::Error& error, Duration took, std::optional<Duration> limit) noexcept;

}  // namespace weir::work
