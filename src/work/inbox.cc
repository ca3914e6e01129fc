#include "work/inbox.h"

#include <algorithm>

#include "work/process.h"

namespace weir::work {

void Inbox::push(std::vector<Portion> portions) {
  {
    const MutexLock lock(mutex_);
    for (Portion& portion : portions) {
      in_flight_ += portion.count;
      waiting_.push_back(std::move(portion));
    }
  }
  arrived_.notify_all();
}

std::optional<Portion> Inbox::pop(const std::stop_token& stop) {
  MutexLock lock(mutex_);
  if (!arrived_.wait(lock, stop, [this]() WEIR_REQUIRES(mutex_) { return !waiting_.empty(); }) ||
      stop.stop_requested()) {
    return std::nullopt;
  }
  Portion portion = std::move(waiting_.front());
  waiting_.pop_front();
  return portion;
}

std::vector<Portion> Inbox::take_unbegun() {
  const MutexLock lock(mutex_);
  std::vector<Portion> portions(std::make_move_iterator(waiting_.begin()),
                                std::make_move_iterator(waiting_.end()));
  waiting_.clear();
  return portions;
}

Inbox::Running::Running(Inbox& inbox, const Portion& portion)
    : inbox_(inbox), portion_(portion), on_loss_(portion.life->lost(), [this] { stop_.request_stop(); }) {
  const SteadyTime now = std::chrono::steady_clock::now();
  if (const auto limit = portion.claim->timeout())
    ends_at_ = now + *limit * static_cast<Duration::rep>(portion.count);
  if (const auto deadline = portion.items().front().deadline) {
    const SteadyTime at = now + (*deadline - std::chrono::system_clock::now());
    ends_at_ = std::min(ends_at_.value_or(at), at);
  }
  bool unwanted = false;
  {
    const MutexLock lock(inbox_.mutex_);
    place_ = inbox_.running_.insert(inbox_.running_.end(), this);
    if (!inbox_.unwanted_.empty()) {
      for (const Item& item : portion.items()) unwanted = inbox_.unwanted_.erase(item.id) > 0 || unwanted;
    }
  }
  if (unwanted) stop_.request_stop();
  if (ends_at_) inbox_.room_.notify();
}

Inbox::Running::~Running() {
  const MutexLock lock(inbox_.mutex_);
  inbox_.running_.erase(place_);
}

// Stop callbacks are others' code: they are called without our lock.

std::optional<SteadyTime> Inbox::stop_overdue(SteadyTime now) {
  std::optional<SteadyTime> next;
  stop_those([&](Running& running) {
    if (!running.ends_at_ || running.stop_.stop_requested()) return false;
    if (*running.ends_at_ <= now) return running.timed_out_ = true;
    next = std::min(next.value_or(*running.ends_at_), *running.ends_at_);
    return false;
  });
  return next;
}

void Inbox::stop_items(const std::vector<std::int64_t>& ids) {
  {
    // Whatever does not run is on its way to: it waits here, a slot has just taken it, or its claim is not
    // handed out yet.
    const MutexLock lock(mutex_);
    unwanted_ = {ids.begin(), ids.end()};
    for (const Running* running : running_) {
      for (const Item& item : running->portion_.items()) unwanted_.erase(item.id);
    }
  }
  stop_those([&](const Running& running) {
    const auto items = running.portion_.items();
    return std::any_of(items.begin(), items.end(), [&](const Item& item) {
      return std::find(ids.begin(), ids.end(), item.id) != ids.end();
    });
  });
}

void Inbox::stop_all() {
  stop_those([](const Running&) { return true; });
}

template <class Choose>
void Inbox::stop_those(Choose&& choose) {
  std::vector<std::stop_source> chosen;
  {
    const MutexLock lock(mutex_);
    for (Running* running : running_) {
      if (choose(*running)) chosen.push_back(running->stop_);
    }
  }
  for (std::stop_source& stop : chosen) stop.request_stop();
}

void Inbox::expect(std::size_t items) {
  const MutexLock lock(mutex_);
  in_flight_ += items;
}

void Inbox::settled(std::size_t items) {
  {
    const MutexLock lock(mutex_);
    in_flight_ -= std::min(in_flight_, items);
  }
  room_.notify();
}

std::size_t Inbox::in_flight() const {
  const MutexLock lock(mutex_);
  return in_flight_;
}

std::optional<Duration> Inbox::pace() const {
  const MutexLock lock(mutex_);
  return pace_;
}

void Inbox::measured(std::size_t items, Duration took) {
  if (items == 0) return;
  const Duration each = took / static_cast<Duration::rep>(items);
  const MutexLock lock(mutex_);
  pace_ = pace_ ? (*pace_ * 3 + each) / 4 : each;
}

}  // namespace weir::work
