#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "pg/session.h"
#include "pipeline/task/sql_script.h"
#include "pipeline/task/task_context.h"

namespace weir::pipeline {

/// What one statement did.
struct SqlStatementDone {
  std::string place;      ///< "pipelines/shop/load.sql:12"
  std::string command;    ///< "INSERT 0 12"
  std::int64_t rows = 0;  ///< that it touched, or answered
  Duration took{};
};

struct SqlTask {
  const SqlScript* script = nullptr;
  const TaskContext* context = nullptr;
  /// For all of the statements. When it passes, or a stop is requested, the statement is cancelled on the
  /// server and the session is closed: nothing of it goes on.
  Deadline deadline = Deadline::never();
  std::stop_token stop{};
  std::function<void(const SqlStatementDone&)> done{};  ///< after each statement
  pg::Wire::NoticeHandler notice{};                     ///< RAISE NOTICE and its like
};

/// Runs the statements one by one in the caller's transaction, or each by itself where none is open. They see
/// their run through settings (`weir.params`, `weir.interval_start`, ..), which weir.param('x') and its like
/// read. Afterwards role, search_path and timeouts are what they were before. Throws pg::Error of the kind it
/// was, with the file and line of the statement, or of the place in it that the server named; what was set
/// then ends with the transaction, or, without one, with the session.
std::vector<SqlStatementDone> run_sql(pg::Session& session, const SqlTask& task);

}  // namespace weir::pipeline
