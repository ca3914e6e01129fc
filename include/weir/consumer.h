#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include <weir/delivery.h>
#include <weir/error.h>
#include <weir/outcome.h>
#include <weir/sql.h>

namespace weir {

struct ConsumerOptions {
  std::string stream{};
  std::string group{};  ///< made where it is new
  Delivery delivery = Delivery::transactional;
  std::size_t workers = 4;   ///< handlers that run at a time, each on a thread of its own
  std::size_t batch = 1000;  ///< about how many events a handler is given at once
  /// Of a group that is new: the events from this time on are before it too; else only those that come.
  std::optional<std::chrono::system_clock::time_point> from{};
  /// A process that is silent for so long is taken for dead, and its events are given to others.
  std::chrono::milliseconds lease = std::chrono::seconds(15);
  /// How long stop() waits for handlers before it asks them to stop.
  std::chrono::milliseconds drain = std::chrono::seconds(30);
  bool once = false;  ///< run() returns when nothing is left
  /// Events with the same key come one after the other, in the order of the transactions that wrote them. A
  /// group is made so, or not, for good. Leased, a handler is then given one event at a time.
  bool ordered = false;
  std::size_t lanes = 0;  ///< of an ordered group that is new: what goes on side by side; 0: 16
};

/// One event of a stream; lives as long as the handler's call.
struct Event {
  std::int64_t id = 0;
  std::string_view key;
  std::string_view payload;  ///< JSON text
  std::chrono::system_clock::time_point at;
  int attempt = 1;  ///< counted from 1
};

/// Some events on their way through a handler; they belong to its thread.
class Events {
 public:
  struct State;
  explicit Events(State& state) noexcept : state_(state) {}
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;
  ~Events() = default;

  [[nodiscard]] std::size_t size() const noexcept;
  [[nodiscard]] Event operator[](std::size_t index) const noexcept;

  /// What became of one of them, if it is not done: it is tried again alone, or is a dead letter, and the
  /// others are not held up. In an ordered group those behind it with keys of the same lane wait for it. The
  /// first word counts.
  void settle(std::size_t index, Outcome outcome);

  /// Requested when the consumer ends or its lease is lost: return soon. Events that were not settled are
  /// then done again.
  [[nodiscard]] const std::stop_token& stop() const noexcept;
  /// Statements that commit together with the group's progress. Throws Failure::usage in leased delivery.
  [[nodiscard]] Sql& transaction();

 private:
  State& state_;
};

/// Consumes a stream for a group. What a handler has not settled when it returns is done; one that throws has
/// failed on what it had, and its events are tried in smaller parts until those are found that are to blame.
class Consumer {
 public:
  using Handler = std::function<void(Events&)>;

  Consumer(std::string_view url, const ConsumerOptions& options, Handler handler);
  Consumer(const Consumer&) = delete;
  Consumer& operator=(const Consumer&) = delete;
  ~Consumer();  ///< stops it

  /// Returns when it works; throws, and is stopped then, when it cannot. On a started one it does nothing.
  void start();
  /// Takes no more, waits for handlers, hands back what has not begun. Any number of times, from any thread
  /// but a handler's.
  void stop() noexcept;
  /// start(), until `stop` is requested (or nothing is left, with options.once), stop().
  void run(const std::stop_token& stop = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace weir
