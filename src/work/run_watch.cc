#include "work/run_watch.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <string>
#include <thread>

#include "base/log.h"
#include "base/wait.h"

namespace weir::work {
namespace {

constexpr Duration kLeastGrace = std::chrono::seconds(1);
constexpr Duration kMostGrace = std::chrono::seconds(5);
/// Between two requests to cancel: the handler may go on with another statement.
constexpr Duration kCancelAgain = std::chrono::milliseconds(100);
/// Of one request; longer, and it may hit whatever comes next.
constexpr Duration kCancelDelivery = std::chrono::seconds(2);

}  // namespace

struct RunWatch::Watching {
  Watching(pg::Session& session, const std::stop_token& worker_stop, Duration given,
           std::function<void()> tell)
      : limit(given),
        given_up(std::move(tell)),
        before(session.options()),
        canceller(session.canceller()),
        on_stop(worker_stop,
                [this] {
                  handler.request_stop();
                  transaction.request_stop();
                }),
        thread([this](const std::stop_token& ended) { watch(ended); }) {}

  void watch(const std::stop_token& ended);
  /// False when it is of no use to ask again.
  bool cancel() noexcept;
  void give_up() noexcept;

  const Duration limit;
  const std::function<void()> given_up;
  const pg::Session::Options before;
  const pg::Canceller canceller;
  Wakeup wakeup;  // of the thread below
  std::stop_source handler;
  std::stop_source transaction;
  std::atomic<bool> ran_over{false};
  std::atomic<bool> astray{false};  ///< a request to cancel may still come
  std::atomic<bool> told{false};
  std::stop_callback<std::function<void()>> on_stop;
  std::jthread thread;  // the last one: it uses the others
};

void RunWatch::Watching::watch(const std::stop_token& ended) {
  const auto passed = [&](Deadline until) {
    return wait_fd(-1, 0, until, ended, wakeup) == WaitEnd::deadline;
  };
  if (!passed(Deadline::after(limit))) return;
  ran_over = true;
  const Deadline last = Deadline::after(grace(limit));
  handler.request_stop();
  for (Duration pause = kCancelAgain; !last.expired() && cancel(); pause *= 2) {
    if (!passed(Deadline::after(pause).sooner(last))) return;
  }
  if (!passed(last)) return;
  give_up();
  transaction.request_stop();
}

void RunWatch::Watching::give_up() noexcept {
  if (!told.exchange(true)) given_up();
}

bool RunWatch::Watching::cancel() noexcept {
  try {
    // A pooler that shares sessions may say that it has passed a request on before it has.
    if (!canceller.cancel(kCancelDelivery) || !before.prepare) astray = true;
    return !astray;
  } catch (const std::exception& error) {  // nothing was asked
    log::warn("a statement that takes too long could not be cancelled", {{"error", error.what()}});
    return true;
  }
}

RunWatch::RunWatch(pg::Session& session, std::stop_token stop, std::optional<Duration> limit,
                   std::function<void()> given_up)
    : session_(session), worker_stop_(std::move(stop)) {
  if (!limit) return;
  watching_ = std::make_unique<Watching>(session, worker_stop_, *limit, std::move(given_up));
  session_.set_stop(watching_->transaction.get_token());
  // The session's own patience must not end first: that would be held against nobody.
  session_.set_timeout(std::max(watching_->before.timeout, *limit + 2 * kMostGrace));
}

RunWatch::~RunWatch() { end(); }

std::stop_token RunWatch::stop() const noexcept {
  return watching_ ? watching_->handler.get_token() : worker_stop_;
}

bool RunWatch::ran_over() const noexcept { return watching_ && watching_->ran_over; }

void RunWatch::give_up() noexcept {
  if (watching_) watching_->give_up();
}

void RunWatch::end() noexcept {
  if (!watching_ || ended_) return;
  ended_ = true;
  // With it a request that is under way has arrived, and the server ignores what comes while it waits for us.
  watching_->thread = std::jthread();
  if (watching_->astray) session_.close();
  session_.set_stop(watching_->before.stop);
  session_.set_timeout(watching_->before.timeout);
}

Duration RunWatch::grace(Duration limit) noexcept { return std::clamp(limit, kLeastGrace, kMostGrace); }

RanOver::RanOver() : Error(ExitCode::failed, std::string(kRanOver) + ", and its session had to be ended") {}

bool is_of_limit(const pg::Error& error, Duration took, std::optional<Duration> limit) noexcept {
  return limit && error.sqlstate() == "57014" && took >= *limit;
}

}  // namespace weir::work
