#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/run/definitions.h"
#include "pipeline/run/scheduler.h"
#include "pipeline/run/task_endings.h"
#include "pipeline/run/tasks_in_flight.h"
#include "work/claim_source.h"

namespace weir::pipeline {

/// Tasks of runs as a claim source: at least once, fenced by the claim; SQL in the same database exactly
/// once, because it ends in the transaction of its data. See docs/state-machine.md.
class TaskSource final : public work::ClaimSource {
 public:
  /// Makes history's partitions ahead, before the first end.
  TaskSource(Definitions& definitions, TasksInFlight& in_flight, pg::Session& session);

  [[nodiscard]] std::string_view name() const noexcept override { return "tasks"; }
  [[nodiscard]] std::vector<std::string> topics() const override { return {"task"}; }
  std::shared_ptr<work::Claim> claim(pg::Session& session, const work::Life& life, std::size_t wanted,
                                     bool thorough) override;
  void resolve(pg::Session& session, const work::Life& life) override;
  [[nodiscard]] std::optional<Duration> next_look() const override;
  bool has_more(pg::Session& session) override;
  std::size_t settle(pg::Session& session, const work::Life& life, std::vector<work::Settlement>& pending,
                     bool all) override;
  void drop(const work::Settlement& settlement) noexcept override;
  std::vector<std::int64_t> cancelled(pg::Session& session, const work::Life& life) override;
  void rescue(pg::Session& session) override;
  Duration keep(pg::Session& session, const work::Life& life) override;

  /// `poke` is called when an alert is to be sent. Before the first call of anything else.
  void on_alerts_due(std::function<void()> poke) { alerts_due_ = std::move(poke); }
  /// A handler has written an end itself, and successors are ready. Any thread.
  void successors_ready() const { claim_soon(); }

  struct Counts {
    std::atomic<std::int64_t> done{0};
    std::atomic<std::int64_t> failed{0};
    std::atomic<std::int64_t> retried{0};
  };
  [[nodiscard]] const Counts& counts() const noexcept { return counts_; }

 private:
  void count(const Ending& ending);
  void carry_out(Aftermath& aftermath, pg::Session& session);
  template <class Action>
  void with_history(pg::Session& session, Action&& action);
  Duration do_chores(pg::Session& session);
  void keep_history(pg::Session& session);

  Definitions& definitions_;
  TasksInFlight& in_flight_;
  Scheduler scheduler_;
  Counts counts_;
  std::function<void()> alerts_due_;
  std::atomic<bool> tells_at_once_ = false;  ///< the keeping thread, what was left to it

  // Of the claiming thread.
  std::int64_t claims_ = 0;
  std::int32_t turn_pool_ = 0;
  std::int32_t turn_pipeline_ = 0;
  bool busy_ = false;  ///< somebody else was claiming from a pool
  // Of the settling thread: what a failed statement left to do.
  Aftermath after_settling_;
  // Of the keeping thread.
  Aftermath after_keeping_;
  SteadyTime history_due_{};
};

}  // namespace weir::pipeline
