#include "group/slots.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "base/backoff.h"
#include "base/log.h"

namespace weir::group {
namespace {

/// Of a group with much before it, before others have the slot.
constexpr Duration kTurn = std::chrono::seconds(2);
/// How long a connection is kept without a group: the next one is often there after the next look, and to
/// connect costs as much as a few batches.
constexpr Duration kLinger = std::chrono::milliseconds(200);
/// Where all is to end, to tell what became of a batch, and for a connection that gives back what another one
/// could not: who has not managed by then leaves it to the sweep.
constexpr Duration kGiveBack = std::chrono::seconds(5);
/// How long a group is left alone that could not be had though nobody seemed to have it, such as one whose
/// owner is frozen between his lock and his row. For short at first: he may have been about to let go of it.
constexpr Duration kShunFirst = std::chrono::milliseconds(20);
constexpr Duration kShun = std::chrono::milliseconds(500);

/// So many failures one after the other are not those of their groups any more.
constexpr int kInARow = 3;

/// How long it is remembered of a group that it failed.
constexpr Duration kForget = std::chrono::minutes(1);
constexpr BackoffPolicy kTrouble{.base = std::chrono::milliseconds(100), .cap = std::chrono::seconds(10)};

}  // namespace

Slots::Slots(Settings settings, GroupCounts& counts, Wakeup& freed)
    : settings_(std::move(settings)), counts_(counts), freed_(freed) {
  try {
    for (std::size_t i = 0; i < settings_.count; ++i) threads_.emplace_back([this, i] { work(i); });
  } catch (const std::system_error& error) {
    // Those that there are would wait for ever, and be waited for.
    soft_.request_stop();
    throw Error(
        ExitCode::failed,
        fmt::format("{} of {} threads could be started: {}", threads_.size(), settings_.count, error.what()),
        "A lower --concurrency, or a higher limit (ulimit -u, ulimit -v).");
  }
}

Slots::~Slots() {
  soft_.request_stop();
  hard_.request_stop();
  last_.request_stop();
}

std::size_t Slots::free() const {
  const MutexLock lock(mutex_);
  return settings_.count - in_flight_.size();
}

std::size_t Slots::dispatch(const std::vector<GroupKey>& groups) {
  std::size_t begun = 0;
  const MutexLock lock(mutex_);
  const SteadyTime now = steady_now();
  std::erase_if(shunned_, [now](const auto& group) { return group.second.until + kForget <= now; });
  for (const GroupKey& group : groups) {
    if (in_flight_.size() == settings_.count) break;
    if (is_shunned(group, now)) continue;
    if (!in_flight_.insert(group).second) continue;
    dispatched_.push_back(group);
    ++begun;
  }
  changed_.notify_all();
  return begun;
}

bool Slots::is_shunned(const GroupKey& group, SteadyTime now) const {
  const auto shunned = shunned_.find(group);
  return shunned != shunned_.end() && shunned->second.until > now;
}

bool Slots::is_waiting(const std::vector<GroupKey>& groups) const {
  const MutexLock lock(mutex_);
  const SteadyTime now = steady_now();
  return std::any_of(groups.begin(), groups.end(), [&](const GroupKey& group) WEIR_REQUIRES(mutex_) {
    return !in_flight_.contains(group) && !is_shunned(group, now);
  });
}

std::size_t Slots::set_aside() const {
  const MutexLock lock(mutex_);
  return in_flight_.size() + shunned_.size();
}

void Slots::drain(Deadline deadline) {
  close();
  MutexLock lock(mutex_);
  const auto idle = [&]() WEIR_REQUIRES(mutex_) { return in_flight_.empty(); };
  if (!changed_.wait_until(lock, deadline.at(), idle)) {
    log::warn("groups are broken off", {{"sink", settings_.sink.name}, {"groups", in_flight_.size()}});
    hard_.request_stop();
    if (changed_.wait_until(lock, Deadline::after(kGiveBack).at(), idle)) return;
    last_.request_stop();
    changed_.wait(lock, idle);
  }
}

std::optional<GroupKey> Slots::next() {
  MutexLock lock(mutex_);
  const auto some = [&]() WEIR_REQUIRES(mutex_) { return !dispatched_.empty(); };
  if (!some()) return std::nullopt;
  GroupKey group = std::move(dispatched_.front());
  dispatched_.erase(dispatched_.begin());
  return group;
}

void Slots::done(const GroupKey& group) {
  const MutexLock lock(mutex_);
  in_flight_.erase(group);
  changed_.notify_all();
  freed_.notify();
}

bool Slots::wait_for_group(std::optional<Duration> limit) {
  MutexLock lock(mutex_);
  const auto some = [&]() WEIR_REQUIRES(mutex_) { return !dispatched_.empty(); };
  if (!limit) return changed_.wait(lock, soft_.get_token(), some);
  return changed_.wait_for(lock, soft_.get_token(), *limit, some);
}

void Slots::work(std::size_t number) {
  std::unique_ptr<Sink> sink;
  std::optional<GroupConnection> connection;
  for (int failures = 0;;) {
    auto group = next();
    if (!group) {
      if (!wait_for_group(connection ? kLinger : Duration::zero())) {
        connection.reset();
        if (!wait_for_group(std::nullopt)) return;
      } else if (connection && !connection->check()) {
        connection.reset();
      }
      continue;
    }
    // A name for each time: what an earlier one left on its way to the server is not taken for this one's.
    const std::string owner = settings_.owner + "#" + std::to_string(++turns_);
    std::optional<GroupTask> task;
    const auto fail = [&](std::string_view why) {
      connection.reset();
      log::warn("a group was given up", {{"slot", number}, {"group", to_string(*group)}, {"error", why}});
      ++failures;
      if (task) {
        give_up(*group, owner, task->at(), why);
        shun(*group);
      }
      if (!task || failures >= kInARow) rest(failures);
    };
    try {
      if (!sink) sink = settings_.sinks();
      if (!connection) {
        connection.emplace(
            GroupConnection::open(*settings_.connector, settings_.owner, {.stop = hard_.get_token()}));
        connection->set_stop(last_.get_token());
      }
      task.emplace(settings_.sink, *sink, counts_,
                   GroupTask::Stops{.soft = soft_.get_token(), .hard = hard_.get_token()});
      connection = serve(*std::exchange(connection, std::nullopt), *group, owner, *task);
      if (connection && !connection->is_open()) connection.reset();
      failures = 0;
    } catch (const std::exception& error) {
      fail(error.what());
    } catch (...) {  // of a sink: it is other people's code
      fail(kNoException);
    }
    done(*group);
  }
}

std::optional<GroupConnection> Slots::serve(GroupConnection connection, const GroupKey& group,
                                            const std::string& owner, GroupTask& task) {
  auto owned =
      GroupConnection::try_lock(std::move(connection), settings_.sink, group, settings_.ownership, owner);
  if (!owned) {
    ++counts_.skipped;
    const MutexLock lock(mutex_);
    Shunned& shunned = shunned_[group];
    shunned.until = steady_now() + (shunned.skips++ == 0 ? kShunFirst : kShun);
    return std::move(owned.error());
  }
  const SteadyTime end = steady_now() + kTurn;
  auto given_back = task.run(*std::move(owned), [&] { return crowded_ && steady_now() >= end; });
  const MutexLock lock(mutex_);
  shunned_.erase(group);
  return given_back;
}

void Slots::shun(const GroupKey& group) {
  const MutexLock lock(mutex_);
  Shunned& shunned = shunned_[group];
  shunned.until = steady_now() + backoff_delay(kTrouble, ++shunned.failures, random_unit());
}

/// Where there is no connection, or no sink, or one group after the other fails: the next one would as well.
/// This one is in flight meanwhile, so that nobody here asks for it.
void Slots::rest(int failures) {
  MutexLock lock(mutex_);
  changed_.wait_for(lock, soft_.get_token(), backoff_delay(kTrouble, failures, random_unit()),
                    [] { return false; });
}

void Slots::give_up(const GroupKey& group, const std::string& owner, const std::optional<BatchTry>& at,
                    std::string_view reason) noexcept {
  const bool stopped = hard_.stop_requested();
  const Ending ending = stopped ? Ending{Ending::Kind::returned, std::nullopt}
                                : Ending{Ending::Kind::retry, std::string(reason), settings_.sink.backoff};
  if (!stopped) ++counts_.lost;
  try {
    pg::Session session =
        settings_.connector->connect(pg::Role::group, settings_.owner, pg::Limit::within(kGiveBack, {}));
    session.set_timeout(kGiveBack);
    give_back(session, settings_.sink, group, owner, at, ending);
  } catch (const std::exception& error) {
    log::warn("a group is left to the recovery sweep",
              {{"group", to_string(group)}, {"error", error.what()}});
  }
}

}  // namespace weir::group
