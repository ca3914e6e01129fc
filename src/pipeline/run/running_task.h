#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/error.h"
#include "pipeline/run/log_store.h"
#include "pipeline/run/surroundings.h"
#include "pipeline/run/task_attempt.h"
#include "pipeline/task/sql_script.h"
#include "pipeline/task/task_context.h"
#include "work/outcome.h"

namespace weir::pipeline {

/// An attempt on its way through a slot.
struct RunningTask {
  const Surroundings& at;
  const PipelineDefinition& pipeline;
  const TaskDefinition& task;
  TaskAttempt& attempt;
  const TaskContext& context;
  Deadline deadline;
  std::stop_token stop;
  pg::Session& session;  ///< on Weir's database, outside of a transaction
  LogStore& log;
  const std::function<void()>& successors_ready;  ///< to be told what there is to claim now
};

/// An attempt that has reached its task's timeout.
class TookTooLong final : public Error {
 public:
  explicit TookTooLong(const TaskDefinition& task);
};

/// The task's bodies, each in a file of its own. What they throw fails the attempt.
work::Outcome run_sql_body(RunningTask& running, const SqlBody& body);
/// `change` and the success of the task, in one transaction on the session of its slot.
work::Outcome change_and_finish(RunningTask& running, const std::function<void(pg::Session&)>& change);
/// The statements of a script, in the session's transaction or each by itself; the log has what they say.
void run_script(RunningTask& running, pg::Session& session, const SqlScript& script);
work::Outcome run_command_body(RunningTask& running, const RunBody& body);
work::Outcome run_load_body(RunningTask& running, const LoadBody& body);
work::Outcome run_model_body(RunningTask& running, const ModelBody& body);
work::Outcome run_wait_body(RunningTask& running, const WaitBody& body);
/// Cuts a mapped task into its pieces.
work::Outcome expand_task(RunningTask& running, const MapSource& map);

/// The first column of the first row, a boolean; false where there is none. In the session's transaction,
/// whose settings tell of the run.
bool holds(RunningTask& running, pg::Session& session, const std::string& query);
/// Rows of a query of the user, with the settings of the run, in a transaction that is undone.
pg::Result ask(RunningTask& running, pg::Session& session, const std::string& query);
/// The first column of the first row, a boolean; false where there is none.
bool is_true(RunningTask& running, pg::Session& session, const std::string& query);

/// Writes the success of the attempt in the session's transaction. Throws when the attempt is not this
/// process's any more, and with it all of the transaction has to go.
std::vector<TaskNews> finish_in_transaction(pg::Session& session, const TaskAttempt& attempt);
/// That transaction was committed: who comes next need not wait for what else is done here.
work::Outcome written(RunningTask& running, std::vector<TaskNews> news);
/// The answer to COMMIT was lost: looks on another session whether the attempt has ended by it.
bool was_committed(RunningTask& running);

/// A session of a connection of weir.yml.
pg::Session connect_elsewhere(RunningTask& running, const std::string& connection);

}  // namespace weir::pipeline
