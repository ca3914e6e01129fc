#pragma once

#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pg/session.h"
#include "pipeline/run/ending.h"
#include "pipeline/run/task_attempt.h"

namespace weir::pipeline {

/// The error for a partition of history that a step of the clock has made missing; whoever writes the outcome
/// makes it.
inline constexpr std::string_view kNoPartition = "23514";

/// An attempt and what is to become of it.
struct EndedAttempt {
  const TaskAttempt* attempt = nullptr;
  Ending ending{};
  std::string error{};  ///< empty: none
};

/// Writes the ends of attempts of one worker. An attempt that is not answered as accepted or untold was
/// somebody else's already: nothing has changed.
std::vector<TaskNews> finish_tasks(pg::Session& session, std::int64_t worker,
                                   const std::vector<EndedAttempt>& ended);

/// What is left to do when tasks have ended: tell successors generation by generation, end runs, start the
/// next ones. A run that somebody else tells just now is left to him. Each step is a transaction that may be
/// repeated, and the keepers of all processes do what is left undone by one that died.
class Aftermath {
 public:
  void add(const std::vector<TaskNews>& news);
  /// A run of it may be started.
  void add_pipeline(std::int32_t pipeline) { pipelines_.push_back(pipeline); }
  [[nodiscard]] bool empty() const noexcept {
    return untold_.empty() && ended_.empty() && pipelines_.empty();
  }
  /// Whether something was seen that can be claimed.
  bool ready = false;
  /// Whether alerts were written.
  bool alerts = false;
  /// Outside of a transaction. When it throws, what is left is done by the next call.
  void carry_out(pg::Session& session);
  /// What others go on ending is left to whoever looks after what nobody told. Whether there is any.
  [[nodiscard]] bool leave_untold() noexcept { return !std::exchange(untold_, {}).empty(); }

 private:
  void tell(pg::Session& session);
  void end_runs(pg::Session& session);
  void start_runs(pg::Session& session);

  std::set<std::int64_t> untold_;  ///< runs that have something to tell
  std::vector<std::int64_t> ended_;
  std::vector<std::int32_t> pipelines_;
};

/// "untold", "end", .. as the functions of the database answer it.
TaskNews::State to_news(std::string_view state) noexcept;
template <class Rows>
std::vector<TaskNews> to_news_of(const Rows& rows) {
  std::vector<TaskNews> news;
  for (const auto& row : rows) news.push_back({{row.run_id, row.task_no, row.item}, to_news(row.state)});
  return news;
}

}  // namespace weir::pipeline
