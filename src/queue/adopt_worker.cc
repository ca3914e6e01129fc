#include "queue/adopt_worker.h"

#include <algorithm>

#include "base/clock.h"
#include "base/log.h"
#include "schema/queries/adopt.h"

namespace weir::queue {
namespace {

using namespace std::chrono_literals;

constexpr BackoffPolicy kTrouble{.base = 100ms, .cap = 10s};
constexpr Duration kFirstPoll = 50ms;
/// Between scans from the start while there is work: so long, and this many times what the last one took.
constexpr Duration kRescanEvery = 1s;
constexpr int kRescanShare = 20;
/// Others' locks are short; --once asks more often than an idle worker.
constexpr Duration kOncePoll = 1s;
/// A handler's statement may be long; what the server no longer answers the network's keepalive finds.
constexpr Duration kStatementSpan = 24h;

/// Whether the same may go well on another session or a moment later.
bool may_pass(const pg::Error& error) {
  switch (error.kind()) {
    case pg::ErrorKind::connect:
    case pg::ErrorKind::lost:
    case pg::ErrorKind::in_doubt:
    case pg::ErrorKind::deadline:
    case pg::ErrorKind::cancelled:
    case pg::ErrorKind::lock_timeout:
    case pg::ErrorKind::retryable: return true;
    default: return false;
  }
}

/// A server that runs a long statement does not see by itself that its client has gone, and keeps the locks.
void notice_our_end(pg::Session& session) {
  if (!session.keeps_state()) return;  // behind a pooler it would be somebody else's setting next
  try {
    session.set("client_connection_check_interval", "5s");
  } catch (const pg::Error& error) {
    // Servers on some platforms cannot.
    if (error.kind() != pg::ErrorKind::server) throw;
  }
}

}  // namespace

AdoptWorker::AdoptWorker(AdoptShared& shared, std::string id, std::unique_ptr<work::Handler> handler)
    : shared_(shared),
      id_(std::move(id)),
      handler_(std::move(handler)),
      runner_(shared.adopted.label(), shared.sql, shared.retries, *handler_, !shared.adopted.failed.empty(),
              shared.batch) {}

void AdoptWorker::run(const std::stop_token& soft, const std::stop_token& hard) {
  for (int failures = 0; !soft.stop_requested();) {
    try {
      if (step(connected(soft, hard), soft, hard) == Next::finished) break;
      failures = 0;
      continue;
    } catch (const pg::Error& error) {
      if (error.kind() == pg::ErrorKind::stopped || (soft.stop_requested() && may_pass(error))) break;
      if (!may_pass(error)) throw;
      ++failures;
      log::warn(error.kind() == pg::ErrorKind::in_doubt
                    ? "a batch may have been committed or not; its rows will tell"
                    : "a batch was undone and will be repeated",
                {{"table", shared_.adopted.label()}, {"worker", id_}, {"error", error.what()}});
    }
    if (session_ && !session_->is_open()) session_.reset();
    if (shared_.on_trouble) shared_.on_trouble();
    pause(backoff_delay(kTrouble, failures, random_unit()), soft);
  }
  sleeper_.reset();
  session_.reset();
}

pg::Session& AdoptWorker::connected(const std::stop_token& soft, const std::stop_token& hard) {
  if (!session_) {
    session_.emplace(shared_.connector->connect(pg::Role::task, id_, {.stop = soft}));
    session_->set_stop(hard);
    session_->set_timeout(kStatementSpan);
    notice_our_end(*session_);
  }
  return *session_;
}

AdoptWorker::Next AdoptWorker::step(pg::Session& session, const std::stop_token& soft,
                                    const std::stop_token& hard) {
  AdoptWaker::Registration seen;
  bool settled = false;
  if (sleeper_) {
    seen = shared_.waker->registration();
    if (seen.next) {
      const auto answer = session.run<sql::AdoptOldestTransaction>();
      settled = answer.one().oldest >= *seen.next;
    }
  }
  const bool full = !mark_ || steady_now() >= rescan_at_;
  const AdoptBatchReport report = runner_.run(session, full ? std::nullopt : mark_, hard);
  if (full) {
    const Duration least = report.claimed == 0 ? Duration::zero() : kRescanEvery;
    rescan_at_ = steady_now() + std::max<Duration>(least, report.claim_took * kRescanShare);
  }
  if (report.claimed == 0) {
    // There only remains to be seen whether that was all.
    if (!full && shared_.once) {
      rescan_at_ = {};
      return Next::again;
    }
    return idle(session, full, seen, settled, soft);
  }
  follow(report, full);
  if (report.later == report.claimed) pause(kFirstPoll, soft);
  return Next::again;
}

void AdoptWorker::follow(const AdoptBatchReport& report, bool full) {
  sleeper_.reset();
  idle_rounds_ = 0;
  // A scan from the start that came to the end of the rows leaves the mark where it was.
  if (report.last_mark && (!full || !mark_ || report.claimed == shared_.batch.rows)) mark_ = report.last_mark;
  if (shared_.on_batch) shared_.on_batch(report);
}

AdoptWorker::Next AdoptWorker::idle(pg::Session& session, bool full, const AdoptWaker::Registration& seen,
                                    bool settled, const std::stop_token& soft) {
  if (shared_.once && !anything_left(session)) return Next::finished;
  const BackoffPolicy policy{.base = kFirstPoll, .cap = shared_.once ? kOncePoll : shared_.poll};
  Duration span = backoff_delay(policy, ++idle_rounds_, random_unit());
  if (settled && full) {
    span = shared_.poll;
    if (shared_.on_sleep) shared_.on_sleep();
  }
  if (!full) span = std::min<Duration>(span, std::max<Duration>(rescan_at_ - steady_now(), kFirstPoll));
  // The pause may be shorter than the first one: it is left to chance, too.
  if (const auto due = shared_.retries.next_due())
    span = std::min<Duration>(span, std::max<Duration>(*due, kFirstPoll));
  if (!sleeper_ && shared_.waker != nullptr) sleeper_.emplace(*shared_.waker);
  if (sleeper_ && seen.next) {
    shared_.waker->wait(seen, Deadline::after(span), soft);
  } else {
    pause(span, soft);
  }
  return Next::again;
}

bool AdoptWorker::anything_left(pg::Session& session) {
  const std::vector<std::string> lost = shared_.retries.given_up();
  pg::Params params;
  if (!lost.empty()) params.add(lost);
  return session.execute_with(shared_.sql.left(!lost.empty()), params)[0].get<bool>(0);
}

void AdoptWorker::pause(Duration span, const std::stop_token& soft) {
  wait_fd(-1, 0, Deadline::after(span), soft, wakeup_);
}

}  // namespace weir::queue
