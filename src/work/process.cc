#include "work/process.h"

#include <array>
#include <utility>

#include <unistd.h>

#include "base/backoff.h"
#include "base/log.h"
#include "schema/queries/work.h"

namespace weir::work {
namespace {

constexpr BackoffPolicy kProcessRetry{.base = std::chrono::milliseconds(50), .cap = std::chrono::seconds(2)};

/// For each of two tries. A stop waits for so long only where the server does not answer.
constexpr Duration kSignOff = std::chrono::seconds(5);

std::int64_t in_ms(Duration span) { return span / std::chrono::milliseconds(1); }

void pause(Duration span, const std::stop_token& stop) {
  Wakeup unused;
  wait_fd(-1, 0, Deadline::after(span), stop, unused);
}

}  // namespace

Process::Process(std::shared_ptr<const pg::Connector> connector, Options options)
    : connector_(std::move(connector)), options_(std::move(options)) {}

Process::~Process() { stop(); }

std::shared_ptr<Life> Process::life(const std::stop_token& stop) const {
  MutexLock lock(mutex_);
  changed_.wait(lock, stop, [this]() WEIR_REQUIRES(mutex_) { return life_ != nullptr; });
  return life_;
}

void Process::publish(std::shared_ptr<Life> life) {
  const MutexLock lock(mutex_);
  life_ = std::move(life);
  changed_.notify_all();
}

void Process::run(const std::stop_token& stop, const std::function<void()>& ready) {
  bool was_ready = false;
  for (int failures = 0; !stop.stop_requested();) {
    try {
      pg::Session session = connector_->connect(pg::Role::recovery, options_.name, {.stop = stop});
      // An id that a crash of the server took back would be given out again.
      if (session.keeps_state()) session.set("synchronous_commit", "on");
      const SteadyTime asked_at = std::chrono::steady_clock::now();
      const auto answer = session.run<sql::RegisterProcess>(options_.name, in_ms(options_.lease));
      const std::int64_t id = answer.one().id;
      auto life = std::make_shared<Life>(id);
      if (session.keeps_state())
        session.set("application_name", pg::application_name(pg::Role::recovery, life->session_id()));
      publish(life);
      registered.emit(id);
      failures = 0;
      if (!std::exchange(was_ready, true)) ready();
      live(std::move(session), *life, LeaseLife(options_.lease, asked_at), stop);
    } catch (const std::exception& error) {
      if (stop.stop_requested()) break;
      if (!was_ready) throw;
      log::warn("this process could not be registered", {{"error", error.what()}});
      pause(backoff_delay(kProcessRetry, ++failures, random_unit()), stop);
    }
  }
  publish(nullptr);
}

void Process::live(pg::Session session, Life& life, LeaseLife lease, const std::stop_token& stop) {
  for (int failures = 0;;) {
    const SteadyTime now = std::chrono::steady_clock::now();
    if (now < lease.renew_at()) pause(lease.renew_at() - now, stop);
    if (stop.stop_requested()) break;
    if (lease.is_lost(std::chrono::steady_clock::now())) {
      log::error("the lease of this process is lost: its work is stopped",
                 {{"process", life.id()}, {"reason", "it could not be renewed in time"}});
      break;
    }
    try {
      if (!session.is_open()) {
        session = connector_->connect(pg::Role::recovery, life.session_id(),
                                      {.deadline = Deadline(lease.give_up_at()), .stop = stop});
      }
      if (!renew(session, life, lease, stop)) {
        log::error("the lease of this process is lost: its work is stopped",
                   {{"process", life.id()}, {"reason", "another process declared it dead"}});
        break;
      }
      failures = 0;
    } catch (const std::exception& error) {
      if (stop.stop_requested()) break;
      log::warn("the lease could not be renewed", {{"process", life.id()}, {"error", error.what()}});
      const Duration backoff = backoff_delay(kProcessRetry, ++failures, random_unit());
      pause(lease.retry_in(backoff, std::chrono::steady_clock::now()), stop);
    }
  }
  publish(nullptr);
  life.lose();
  if (stop.stop_requested()) retire(session, life);
}

bool Process::renew(pg::Session& session, const Life& life, LeaseLife& lease, const std::stop_token& stop) {
  const SteadyTime asked_at = std::chrono::steady_clock::now();
  session.set_stop(stop);
  session.set_timeout(lease.give_up_at() - asked_at);
  if (session.run<sql::RenewProcess>(life.id(), in_ms(options_.lease)).empty()) return false;
  lease.renewed(asked_at);
  renewed.emit(life.id());
  return true;
}

void Process::retire(pg::Session& session, const Life& life) noexcept {
  // Nothing was said on the session since the last renewal: whether it is lost shows only now.
  for (bool may_try_again = true;; may_try_again = false) {
    try {
      if (!session.is_open())
        session = connector_->connect(pg::Role::recovery, life.session_id(), pg::Limit::within(kSignOff));
      session.set_stop({});
      session.set_timeout(kSignOff);
      session.run<sql::RetireProcess>(life.id());
      return;
    } catch (const std::exception& error) {
      if (may_try_again && !session.is_open()) continue;
      log::warn("this process could not sign off; the others will notice",
                {{"process", life.id()}, {"error", error.what()}});
      return;
    }
  }
}

std::string process_name() {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  return std::string(host.data()) + ":" + std::to_string(::getpid());
}

}  // namespace weir::work
