#include "group/group_task.h"

#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"
#include "group/pulse.h"
#include "pg/transaction.h"

namespace weir::group {
namespace {

using work::Outcome;

/// While a sink works, its statements are broken off when the process has to end. The status' own never are.
class Breakable {
 public:
  Breakable(pg::Session& session, const std::stop_token& stop)
      : session_(session), before_(session.options().stop) {
    session_.set_stop(stop);
  }
  Breakable(const Breakable&) = delete;
  Breakable& operator=(const Breakable&) = delete;
  ~Breakable() { session_.set_stop(before_); }

 private:
  pg::Session& session_;
  std::stop_token before_;
};

constexpr std::string_view kSavepoint = "SAVEPOINT weir_batch; SET CONSTRAINTS ALL DEFERRED";

}  // namespace

std::optional<GroupConnection> GroupTask::run(OwnedGroup owned, const Yield& yield) {
  std::optional<OwnedGroup> group(std::move(owned));
  if (stops_.soft.stop_requested()) return std::move(*group).release();
  OwnedGroup::Begun begun = group->begin(sink_.needs_payload());
  if (begun.state == OwnedGroup::Begun::State::lost) {
    log::warn("a group was lost before its first batch", {{"group", to_string(group->group())}});
    ++counts_.lost;
    return std::nullopt;
  }
  counts_.failed += begun.failed;
  if (begun.batch) ++counts_.begun;
  Next next = std::move(begun.batch);
  while (next) {
    Batch batch = *std::exchange(next, std::nullopt);
    at_ = batch.at();
    const bool is_whole = !sink_.needs_payload() || !batch.payload.empty();
    const auto ended = is_whole ? std::nullopt : fetch(*group, batch);
    const Step step = ended ? *ended : apply(group, batch, yield, next);
    // What is not ours stays as it is; what is, such as a group whose batch failed with its run at another
    // sink, is free at once.
    if (step == Step::lost && !group->is_open()) return std::nullopt;
    if (step == Step::lost) break;
  }
  return std::move(*group).release();
}

std::optional<GroupTask::Step> GroupTask::fetch(OwnedGroup& group, Batch& batch) {
  auto payload = group.use([&](pg::Session& session) {
    const Breakable breakable(session, stops_.hard);
    return group.fetch(batch);
  });
  if (!payload) {
    const Ending ending{Ending::Kind::failed, fmt::format("the payload of batch {} is gone", batch.idx)};
    return conclude(batch, ending, group.end(ending));
  }
  batch.payload = *std::move(payload);
  // It may have taken long, and nobody's heart has beaten.
  if (!group.renew()) return conclude(batch, {Ending::Kind::returned, {}}, false);
  return std::nullopt;
}

GroupTask::Step GroupTask::apply(std::optional<OwnedGroup>& group, const Batch& batch, const Yield& yield,
                                 Next& next) {
  return sink_.place() == Sink::Place::inside ? apply_inside(*group, batch, yield, next)
                                              : apply_outside(group, batch, yield, next);
}

bool GroupTask::end(OwnedGroup& group, const Ending& ending, const Yield& yield, Next& next) {
  if (ending.kind != Ending::Kind::succeeded || stops_.soft.stop_requested() || yield())
    return group.end(ending);
  auto begun = group.end_and_begin(sink_.needs_payload());
  if (!begun) return false;
  counts_.failed += begun->failed;
  next = std::move(begun->batch);
  return true;
}

GroupTask::Step GroupTask::apply_inside(OwnedGroup& group, const Batch& batch, const Yield& yield,
                                        Next& next) {
  const auto once = [&](pg::Session& session) {
    pg::Transaction transaction(session);
    if (!group.pin()) return conclude(batch, {Ending::Kind::returned, {}}, false);
    const Ending ending = decide_ending(try_inside(session, batch), batch.attempt, definition_);
    const bool accepted = end(group, ending, yield, next);
    if (accepted) transaction.commit();
    return conclude(batch, ending, accepted);
  };
  try {
    return group.use(once);
  } catch (const std::exception& error) {
    // What only COMMIT found, or a conflict: undone as a whole, and so is the next one's beginning. The group
    // is still ours, and the status is told alone.
    if (!group.is_open()) throw;
    next.reset();
    const Ending ending = decide_ending(Outcome::failed(error.what()), batch.attempt, definition_);
    return conclude(batch, ending, group.end(ending));
  }
}

Outcome GroupTask::try_inside(pg::Session& session, const Batch& batch) {
  session.execute_script(std::string(kSavepoint));
  Outcome outcome;
  try {
    const Breakable breakable(session, stops_.hard);
    const Application application{.stop = stops_.hard, .session = &session, .verify = [] {}};
    outcome = sink_.has(batch, application) ? Outcome::done() : sink_.apply(batch, application);
    if (outcome.is_done()) {
      session.execute_script("SET CONSTRAINTS ALL IMMEDIATE; RELEASE SAVEPOINT weir_batch");
      return outcome;
    }
  } catch (const pg::Error& error) {
    if (!session.is_open() || error.kind() == pg::ErrorKind::retryable) throw;
    outcome = Outcome::failed(error.what());
  } catch (const std::exception& error) {
    outcome = Outcome::failed(error.what());
  } catch (...) {
    outcome = Outcome::failed(std::string(kNoException));
  }
  if (!session.in_transaction()) throw Error(ExitCode::failed, "the sink has ended the batch's transaction");
  session.execute_script("ROLLBACK TO SAVEPOINT weir_batch; RELEASE SAVEPOINT weir_batch");
  return outcome;
}

GroupTask::Step GroupTask::apply_outside(std::optional<OwnedGroup>& group, const Batch& batch,
                                         const Yield& yield, Next& next) {
  std::stop_source stop;
  const std::stop_callback on_hard_stop(stops_.hard, [&] { stop.request_stop(); });
  Outcome outcome;
  bool lost = false;
  {
    Pulse pulse(*std::exchange(group, std::nullopt), definition_.lease / 3, [&] { stop.request_stop(); });
    try {
      const Application application{.stop = stop.get_token(), .session = nullptr, .verify = [&] {
                                      if (!pulse.verify()) throw OwnershipLost();
                                    }};
      outcome = sink_.has(batch, application) ? Outcome::done() : sink_.apply(batch, application);
    } catch (const OwnershipLost&) {
      lost = true;
    } catch (const std::exception& error) {
      outcome = stop.stop_requested() ? Outcome::returned() : Outcome::failed(error.what());
    } catch (...) {
      outcome = Outcome::failed(std::string(kNoException));
    }
    group.emplace(std::move(pulse).stop());
  }
  // By another connection it can still be told that the group is free.
  if (!group->is_open()) throw Error(ExitCode::database, "the group's connection was lost");
  if (lost) return conclude(batch, {Ending::Kind::returned, {}}, false);
  const Ending ending = decide_ending(outcome, batch.attempt, definition_);
  return conclude(batch, ending, end(*group, ending, yield, next));
}

GroupTask::Step GroupTask::conclude(const Batch& batch, const Ending& ending, bool accepted) {
  const auto tell = [&](std::string_view what) {
    log::warn(what, {{"sink", definition_.name},
                     {"group", to_string(batch.group)},
                     {"batch", batch.id()},
                     {"attempt", batch.attempt},
                     {"error", elide(ending.error.value_or(""), 300)}});
  };
  if (!accepted) {
    tell("a batch's group was lost: what became of it is not written");
    ++counts_.lost;
    return Step::lost;
  }
  switch (ending.kind) {
    case Ending::Kind::succeeded: ++counts_.succeeded; return Step::succeeded;
    case Ending::Kind::retry:
      tell("a batch failed and will be tried again");
      ++counts_.retried;
      break;
    case Ending::Kind::failed:
      tell("a batch failed, and its run with it");
      ++counts_.failed;
      break;
    case Ending::Kind::returned: break;
  }
  return Step::halted;
}

}  // namespace weir::group
