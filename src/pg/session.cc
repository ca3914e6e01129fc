#include "pg/session.h"

#include <optional>

namespace weir::pg {
namespace {

constexpr std::string_view kAdHoc = "ad hoc";
/// Raised where a prepared statement is gone (DISCARD ALL, DEALLOCATE by the user) or its result type changed
/// with DDL. The statement itself has not run.
constexpr std::string_view kNoSuchStatement = "26000";
constexpr std::string_view kPlanChanged = "0A000";

}  // namespace

const char* checked_sql(const std::string& sql) {
  if (sql.find('\0') != std::string::npos)
    raise({.kind = ErrorKind::misuse, .message = "a zero byte in SQL"});
  return sql.c_str();
}

Session::Session(Wire wire, Options options) : wire_(std::move(wire)), options_(std::move(options)) {}

void Session::begin(std::string_view query) {
  owner_.check("a PostgreSQL session");
  if (!busy_with_.empty()) {
    raise({.kind = ErrorKind::misuse,
           .message = "the session is in the middle of " + std::string(busy_with_),
           .query = std::string(query)});
  }
  wire_.set_query(query);
}

Result Session::finish() {
  const Limit within = limit();
  std::optional<Result> last;
  std::optional<ErrorInfo> failure;
  while (std::optional<Result> result = wire_.next_result(within)) {
    const Result::Status status = result->status();
    if (status == Result::Status::copy_in || status == Result::Status::copy_out) {
      // libpq would answer the same for ever.
      wire_.close();
      raise({.kind = ErrorKind::misuse,
             .message =
                 "COPY .. FROM STDIN or TO STDOUT was run as an ordinary statement; the session was closed",
             .hint = "Use CopyIn or CopyOut."});
    }
    if (status == Result::Status::error && !failure) failure = result->error();
    last = std::move(result);
  }
  if (failure) raise(std::move(*failure));
  if (!last) raise({.kind = ErrorKind::misuse, .message = "the server was asked nothing"});
  return std::move(*last);
}

void Session::begin_copy(const std::string& sql, Result::Status wanted) {
  begin("copy");
  Params none;
  wire_.send(checked_sql(sql), none.view());
  std::optional<Result> result = wire_.next_result(limit());
  if (result && result->status() == wanted) {
    busy_with_ = "a COPY";
    return;
  }
  const bool other_copy =
      result && (result->status() == Result::Status::copy_in || result->status() == Result::Status::copy_out);
  ErrorInfo failure{.kind = ErrorKind::misuse,
                    .message = "the statement is not a COPY in the direction that was asked for",
                    .query = "copy"};
  if (result && result->status() == Result::Status::error) failure = result->error();
  if (other_copy) wire_.close();
  while (!other_copy && result) result = wire_.next_result(limit());
  raise(std::move(failure));
}

std::string Session::statement_name(const Query& query) const {
  const auto found = prepared_.find(query.name);
  const int stale = found == prepared_.end() ? 0 : found->second.stale;
  return std::string(query.name) + (stale == 0 ? "" : "_" + std::to_string(stale));
}

std::optional<Notification> Session::next_notification() {
  begin("a notification");
  return wire_.next_notification();
}

WaitEnd Session::wait_readable(const Limit& limit, Wakeup& wakeup) {
  begin("a wait for notifications");
  return wire_.wait_readable(limit, wakeup);
}

void Session::prepare(const Query& query) {
  if (!options_.prepare || is_prepared(query)) return;
  begin(query.name);
  wire_.send_prepare(statement_name(query).c_str(), query.text, query.parameters);
  finish();
  prepared_[query.name].ready = true;
}

bool Session::is_prepared(const Query& query) const {
  const auto found = prepared_.find(query.name);
  return found != prepared_.end() && found->second.ready;
}

Result Session::run(const Query& query, Params& params) {
  const auto once = [&] {
    prepare(query);
    begin(query.name);
    if (options_.prepare) {
      wire_.send_prepared(statement_name(query).c_str(), params.view());
    } else {
      wire_.send(query.text, params.view());
    }
    return finish();
  };
  const bool was_prepared = is_prepared(query);
  try {
    return once();
  } catch (const Error& error) {
    const bool stale = error.sqlstate() == kNoSuchStatement || error.sqlstate() == kPlanChanged;
    if (!was_prepared || !stale || !is_open()) throw;
    // The next use prepares it anew, under a name that the server cannot know yet.
    Prepared& prepared = prepared_[query.name];
    prepared.ready = false;
    ++prepared.stale;
    // Inside a transaction the failure has undone more than this statement: that is for the caller to repeat.
    if (in_transaction()) throw;
  }
  return once();
}

Result Session::execute_with(const std::string& sql, Params& params) {
  begin(kAdHoc);
  wire_.send(checked_sql(sql), params.view());
  return finish();
}

Result Session::execute_without_rows(const std::string& sql) {
  begin(kAdHoc);
  Params none;
  wire_.send(checked_sql(sql), none.view());
  wire_.rows_one_by_one();
  return finish();
}

Result Session::execute_script(const std::string& sql) {
  begin(kAdHoc);
  wire_.send_script(checked_sql(sql));
  return finish();
}

void Session::set(std::string_view name, std::string_view value) {
  execute("SELECT set_config($1, $2, false)", name, value);
}

bool Session::still_alive() {
  owner_.check("a PostgreSQL session");
  return wire_.still_alive();
}

bool Session::in_transaction() const noexcept {
  const Wire::Transaction state = wire_.transaction();
  return state == Wire::Transaction::open || state == Wire::Transaction::failed;
}

}  // namespace weir::pg
