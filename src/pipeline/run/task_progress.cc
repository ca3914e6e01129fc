#include "pipeline/run/task_progress.h"

#include <fmt/format.h>

#include "base/log.h"
#include "schema/queries/tasks.h"

namespace weir::pipeline {
namespace {

constexpr Duration kWriteEvery = std::chrono::seconds(1);

}  // namespace

SteadyTime TaskProgress::attend(pg::Session& session, SteadyTime now) {
  if (!fresh_ || !session.is_open()) return SteadyTime::max();
  if (now < due_) return due_;
  fresh_ = false;
  due_ = now + kWriteEvery;
  const std::string json = fmt::format(R"({{"attempt":{},"done":{}{}}})", attempt_->attempt, done_,
                                       of_ ? fmt::format(R"(,"of":{})", *of_) : "");
  try {
    session.run<sql::ReportTaskProgress>(attempt_->worker, attempt_->claim, attempt_->key.run,
                                         attempt_->key.no, attempt_->key.item, pg::JsonView{json});
  } catch (const std::exception& error) {
    // It is for people to look at: nothing depends on it.
    log::warn("the progress of a task could not be written",
              {{"run", attempt_->key.run}, {"error", error.what()}});
  }
  return SteadyTime::max();
}

}  // namespace weir::pipeline
