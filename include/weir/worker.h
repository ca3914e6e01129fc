#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <weir/delivery.h>
#include <weir/error.h>
#include <weir/outcome.h>
#include <weir/sql.h>

namespace weir {

struct WorkerOptions {
  std::vector<std::string> queues{};  ///< none: all there are
  std::size_t slots = 4;              ///< handlers that run at a time, each on a thread of its own
  Delivery delivery = Delivery::leased;
  /// A process that is silent for so long is taken for dead, and its jobs are given to others.
  std::chrono::milliseconds lease = std::chrono::seconds(15);
  /// How long stop() waits for handlers before it asks them to stop.
  std::chrono::milliseconds drain = std::chrono::seconds(30);
  bool once = false;  ///< run() returns when nothing is left
};

/// A job on its way through a handler; lives as long as the handler's call, and belongs to its thread.
class Job {
 public:
  struct State;
  explicit Job(State& state) noexcept : state_(state) {}
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;
  ~Job() = default;

  [[nodiscard]] std::int64_t id() const noexcept;
  [[nodiscard]] std::string_view queue() const noexcept;
  [[nodiscard]] std::string_view kind() const noexcept;
  [[nodiscard]] std::string_view payload() const noexcept;  ///< JSON text
  [[nodiscard]] int attempt() const noexcept;               ///< counted from 1
  [[nodiscard]] int max_attempts() const noexcept;
  [[nodiscard]] std::string_view last_error() const noexcept;  ///< of the attempt before
  /// Requested when the worker ends, when its queue's timeout passed, and in leased delivery when its lease
  /// is lost or the job was cancelled: return soon. What a handler returns then counts; Outcome::returned()
  /// hands the job back untouched. In a transaction the statements of who ran over are cancelled, again and
  /// again.
  /// A callback on it must not wait for the handler: it is called by who ends it.
  [[nodiscard]] const std::stop_token& stop() const noexcept;

  /// What weir shows of it while it runs: a share from 0 to 1, and a word. Cheap: written at most once a
  /// second for all jobs of the process together.
  void progress(double share, std::string_view note = {});
  /// JSON text, kept where the queue keeps history; for a handler that returns nothing.
  void result(std::string json);
  /// Statements that commit together with the end of the job. Throws Failure::usage in leased delivery.
  [[nodiscard]] Sql& transaction();

 private:
  State& state_;
};

/// Works on jobs. A handler that returns has done its job (or says what else, by an Outcome); one that throws
/// has failed, and the job is tried again after its queue's backoff until its attempts are used up.
class Worker {
 public:
  using Function = std::function<Outcome(Job&)>;

  explicit Worker(std::string_view url, const WorkerOptions& options = {});
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker();  ///< stops it

  /// What to do with jobs of a kind; a kind that nobody handles goes to the dead letters. Before start().
  template <std::invocable<Job&> Handler>
  Worker& on(const std::string& kind, Handler handler) {
    if constexpr (std::is_void_v<std::invoke_result_t<Handler&, Job&>>) {
      return on_kind(kind, [handler = std::move(handler)](Job& job) mutable {
        handler(job);
        return Outcome::done();
      });
    } else {
      return on_kind(kind, std::move(handler));
    }
  }

  /// Returns when it works; throws, and is stopped then, when it cannot. On a started one it does nothing.
  void start();
  /// Takes no more, waits for handlers, hands back what has not begun. Any number of times, from any thread
  /// but a handler's.
  void stop() noexcept;
  /// start(), until `stop` is requested (or nothing is left, with options.once), stop().
  void run(const std::stop_token& stop = {});

 private:
  struct State;
  Worker& on_kind(std::string kind, Function function);
  std::unique_ptr<State> state_;
};

}  // namespace weir
