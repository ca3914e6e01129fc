#pragma once

#include <functional>

#include "pg/connector.h"

namespace weir::pg {

/// A session that holds state worth keeping: a session lock, LISTEN, temporary tables. It comes straight from
/// the server, never from a pool; nothing recycles it or reconnects it, and its loss is an event.
class PinnedSession {
 public:
  /// Called once, in the thread that uses the session, when a verb or check() finds that it is gone.
  using OnLoss = std::function<void(const Error& reason)>;

  static PinnedSession open(const Connector& connector, Role role, std::string_view id,
                            const Limit& limit = {}, OnLoss on_loss = {});

  PinnedSession(PinnedSession&&) noexcept = default;
  PinnedSession& operator=(PinnedSession&&) noexcept = default;
  PinnedSession(const PinnedSession&) = delete;
  PinnedSession& operator=(const PinnedSession&) = delete;
  ~PinnedSession() = default;

  /// Runs `work(session)` and answers what it answers. When the session is lost in it, reports the loss and
  /// rethrows.
  template <class Work>
  decltype(auto) use(Work&& work) {
    try {
      return std::forward<Work>(work)(session_);
    } catch (const Error& error) {
      if (!session_.is_open()) report_loss(error);
      throw;
    }
  }

  /// Whether the session still stands, as far as one look at the socket can tell. Reports a loss that it
  /// finds.
  bool check();

  /// Hands it to the calling thread, for owners that pass it on while nobody else uses it.
  void hand_over() noexcept { session_.adopt_by_this_thread(); }
  [[nodiscard]] bool is_open() const noexcept { return session_.is_open(); }
  [[nodiscard]] int backend_pid() const noexcept { return session_.backend_pid(); }
  [[nodiscard]] Canceller canceller() const { return session_.canceller(); }
  void close() noexcept { session_.close(); }

 private:
  PinnedSession(Session session, OnLoss on_loss);
  void report_loss(const Error& reason);

  Session session_;
  OnLoss on_loss_;
};

}  // namespace weir::pg
