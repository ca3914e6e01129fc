#include "pg/pipeline.h"

namespace weir::pg {
namespace {

/// Answers that may wait in memory before we read some: enough to keep the server busy, little enough to
/// hold.
constexpr std::size_t kWindow = 2048;
constexpr std::size_t kUnflushed = std::size_t{256} * 1024;

}  // namespace

Pipeline::Pipeline(Session& session, std::initializer_list<const Query*> queries, OnOutcome on_outcome)
    : session_(&session), on_outcome_(std::move(on_outcome)) {
  for (const Query* query : queries) session.prepare(*query);
  session.begin("pipeline");
  session.wire_.enter_pipeline();
  session.busy_with_ = "a pipeline";
}

Pipeline::~Pipeline() {
  if (!open_) return;
  session_->busy_with_ = {};
  session_->close();
}

void Pipeline::check_open() const {
  session_->owner_.check("a PostgreSQL session");
  if (!open_) raise({.kind = ErrorKind::misuse, .message = "the pipeline has ended already"});
}

void Pipeline::run(const Query& query, Params& params) {
  check_open();
  if (!session_->options_.prepare) {
    session_->wire_.send(query.text, params.view());
  } else if (session_->is_prepared(query)) {
    session_->wire_.send_prepared(session_->statement_name(query).c_str(), params.view());
  } else {
    raise({.kind = ErrorKind::misuse,
           .message = "the pipeline was not told of this query when it was made",
           .query = std::string(query.name)});
  }
  count_bytes(params.view());
  sent(Expected::statement);
}

void Pipeline::execute(const std::string& sql, Params& params) {
  check_open();
  session_->wire_.send(checked_sql(sql), params.view());
  unflushed_ += sql.size();
  count_bytes(params.view());
  sent(Expected::statement);
}

void Pipeline::count_bytes(const Params::View& params) {
  for (int i = 0; i < params.count; ++i) unflushed_ += static_cast<std::size_t>(params.lengths[i]);
  if (unflushed_ < kUnflushed) return;
  session_->wire_.flush(session_->limit());
  unflushed_ = 0;
}

void Pipeline::end_group() {
  check_open();
  if (!group_is_open_) return;
  session_->wire_.send_sync();
  sent(Expected::sync);
}

void Pipeline::sent(Expected what) {
  expected_.push_back(what);
  group_is_open_ = what == Expected::statement;
  if (expected_.size() % (kWindow / 8) == 0) reap_what_is_ready();
  if (expected_.size() < kWindow) return;
  // Within a group the server keeps its answers to itself until it is asked for them.
  session_->wire_.request_flush();
  while (expected_.size() > kWindow / 2) reap();
}

void Pipeline::reap_what_is_ready() {
  while (!expected_.empty() && session_->wire_.result_is_ready()) reap();
}

void Pipeline::finish() {
  check_open();
  end_group();
  session_->wire_.flush(session_->limit());
  while (!expected_.empty()) reap();
  session_->wire_.exit_pipeline();
  open_ = false;
  session_->busy_with_ = {};
  if (first_error_) raise(std::move(*first_error_));
}

void Pipeline::reap() {
  const Limit within = session_->limit();
  std::optional<Result> result = session_->wire_.next_result(within);
  const auto is = [&](Result::Status status) { return result && result->status() == status; };
  if (is(Result::Status::copy_in) || is(Result::Status::copy_out)) {
    // PQgetResult would answer the same for ever, and the pipeline could never be left.
    session_->close();
    raise({.kind = ErrorKind::misuse,
           .message = "COPY cannot run in a pipeline; the session was closed",
           .hint = "Use CopyIn or CopyOut on a session of its own."});
  }
  const bool is_sync = is(Result::Status::pipeline_sync);
  const Expected wanted = expected_.front();
  // When the server process dies in mid-pipeline the sync never comes; nothing where an answer belongs means
  // the same.
  if (!result || is_sync != (wanted == Expected::sync)) {
    session_->close();
    raise({.kind = ErrorKind::lost, .message = "the server went away in the middle of a pipeline"});
  }
  expected_.pop_front();
  if (wanted == Expected::sync) return;
  if (session_->wire_.next_result(within)) {
    session_->close();
    raise({.kind = ErrorKind::lost, .message = "the server answered one statement of a pipeline twice"});
  }
  if (is(Result::Status::error)) return deliver(tl::unexpected(result->error()));
  if (is(Result::Status::pipeline_aborted)) {
    return deliver(tl::unexpected(ErrorInfo{.kind = ErrorKind::server,
                                            .message = "not run: an earlier statement of its group failed",
                                            .sqlstate = "25P02"}));
  }
  deliver(std::move(*result));
}

void Pipeline::deliver(Outcome outcome) {
  const std::size_t number = next_number_++;
  if (!outcome && !on_outcome_ && !first_error_) first_error_ = outcome.error();
  if (on_outcome_) on_outcome_(number, std::move(outcome));
}

}  // namespace weir::pg
