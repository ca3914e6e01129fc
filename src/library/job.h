#pragma once

#include <optional>
#include <string>

#include <weir/worker.h>

#include "queue/kinds.h"
#include "queue/progress_reports.h"

namespace weir {

struct Job::State {
  const queue::JobContext& context;
  queue::ProgressReports& progress;
  std::string result{};
  std::optional<Sql> sql{};
};

/// Calls the user's function for a job; whatever it does, an outcome that the server can store comes out. A
/// failure of the server's within the job's transaction is passed on, to whoever owns that.
Outcome call_handler(const Worker::Function& function, const queue::JobContext& context,
                     queue::ProgressReports& progress);

}  // namespace weir
