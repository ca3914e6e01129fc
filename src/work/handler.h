#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "work/outcome.h"

namespace weir::pg {
class Session;
}

namespace weir::work {

/// One piece of work as a handler sees it: a job, a row of an adopted table, an event of a chunk. Its texts
/// live as long as the batch.
struct Item {
  std::int64_t id = 0;
  std::string_view source;   ///< the queue, table or stream it comes from
  std::string_view kind;     ///< what is to be done; empty where a source has one kind only
  std::string_view payload;  ///< JSON text
  int attempt = 1;           ///< counted from 1
  int max_attempts = 1;
  std::string_view error;  ///< of the attempt before; empty at the first
  std::optional<WallTime> created_at;
  std::optional<WallTime> deadline;  ///< past it the item is not worth doing
};

/// Several items on their way through one handler. Used by the handler's thread only.
class Batch {
 public:
  /// `session` is inside of the transaction that the outcomes commit with; null where there is none.
  Batch(std::span<const Item> items, std::stop_token stop, pg::Session* session = nullptr,
        std::optional<Duration> timeout = std::nullopt)
      : items_(items),
        outcomes_(items.size()),
        stop_(std::move(stop)),
        session_(session),
        timeout_(timeout) {}

  [[nodiscard]] std::span<const Item> items() const noexcept { return items_; }
  /// Requested when the process has to end, when its lease is lost, or when every open item was cancelled:
  /// return soon, and leave open what is not done.
  [[nodiscard]] const std::stop_token& stop() const noexcept { return stop_; }
  /// For SQL that is to happen exactly once, together with the outcomes. Never committed or rolled back by a
  /// handler.
  [[nodiscard]] pg::Session* session() const noexcept { return session_; }
  /// The longest that a try may take. Kept by a handler that undoes failures, for each of its own; of any
  /// other by whoever runs it, who requests stop().
  [[nodiscard]] std::optional<Duration> timeout() const noexcept { return timeout_; }

  /// The first outcome of an item stands; false when it had one.
  bool settle(std::size_t index, Outcome outcome);
  /// Settles every item that is still open.
  void settle_rest(const Outcome& outcome);
  [[nodiscard]] std::size_t open() const noexcept { return items_.size() - settled_; }
  [[nodiscard]] const std::vector<Outcome>& outcomes() const& noexcept { return outcomes_; }
  [[nodiscard]] std::vector<Outcome> outcomes() && noexcept { return std::move(outcomes_); }

 private:
  std::span<const Item> items_;
  std::vector<Outcome> outcomes_;
  std::size_t settled_ = 0;
  std::stop_token stop_;
  pg::Session* session_;
  std::optional<Duration> timeout_;
};

/// Does the work. One object belongs to one slot, and so to one thread at a time. What it throws fails every
/// item that is still open with the exception's text; what it leaves open after a stop is handed back, and
/// without a stop is a failure of those items.
class Handler {
 public:
  Handler() = default;
  Handler(const Handler&) = delete;
  Handler& operator=(const Handler&) = delete;
  virtual ~Handler() = default;

  virtual void run(Batch& batch) = 0;
  /// In a transaction: whether what failing items wrote is undone already when run() returns. Otherwise the
  /// whole batch is undone, and its items are run again one by one.
  [[nodiscard]] virtual bool undoes_failures() const noexcept { return false; }
};

using HandlerFactory = std::function<std::unique_ptr<Handler>()>;

}  // namespace weir::work
