#include "queue/adopt_waker.h"

#include <fmt/format.h>

#include "queue/adopt_trigger.h"
#include "schema/queries/adopt.h"

namespace weir::queue {

AdoptWaker::AdoptWaker(std::shared_ptr<const pg::Connector> connector, std::int64_t table_id, std::string id)
    : table_id_(table_id),
      listener_(std::move(connector), std::move(id), [this](pg::Session& session) { attend(session); }),
      subscription_(listener_.subscribe(wake_channel(table_id),
                                        [this](const pg::Listener::Event& /*event*/) { wake_all(); })) {}

AdoptWaker::~AdoptWaker() { listener_.stop(); }

AdoptWaker::Registration AdoptWaker::registration() const {
  const MutexLock lock(mutex_);
  return {events_, next_};
}

void AdoptWaker::wait(const Registration& registration, Deadline deadline, const std::stop_token& stop) {
  const std::stop_callback wake(stop, [this] { wake_all(); });
  MutexLock lock(mutex_);
  while (events_ == registration.events && !stop.stop_requested() && !deadline.expired())
    changed_.wait_until(lock, deadline.at());
}

void AdoptWaker::add(int sleepers) {
  bool turned = false;
  {
    const MutexLock lock(mutex_);
    const int before = sleepers_;
    sleepers_ += sleepers;
    turned = (before == 0) != (sleepers_ == 0);
  }
  if (turned) listener_.call_attendant();
}

void AdoptWaker::wake_all() {
  {
    const MutexLock lock(mutex_);
    ++events_;
  }
  changed_.notify_all();
}

void AdoptWaker::attend(pg::Session& session) {
  bool wanted = false;
  {
    const MutexLock lock(mutex_);
    wanted = sleepers_ > 0;
    // Of a session that is gone.
    if (held_by_ != session.backend_pid()) next_.reset();
  }
  const bool held = held_by_ == session.backend_pid();
  if (wanted == held) return;
  if (!wanted) {
    {
      const MutexLock lock(mutex_);
      next_.reset();  // before the lock goes: who sees it may sleep on it
    }
    held_by_ = 0;
    session.run<sql::AdoptAwake>(table_id_);
    return;
  }
  session.run<sql::AdoptFallAsleep>(table_id_);
  held_by_ = session.backend_pid();
  // A statement of its own: the id has to be younger than the lock.
  const auto answer = session.run<sql::AdoptNextTransaction>();
  {
    const MutexLock lock(mutex_);
    next_ = answer.one().next;
  }
}

}  // namespace weir::queue
