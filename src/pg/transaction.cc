#include "pg/transaction.h"

namespace weir::pg {
namespace {

/// A rollback in a destructor must not hold up the stop of the process; the server rolls back by itself when
/// we hang up.
constexpr Duration kRollbackSpan = std::chrono::seconds(2);

std::string begin_statement(TransactionOptions options) {
  std::string sql = "BEGIN ISOLATION LEVEL ";
  switch (options.isolation) {
    case Isolation::read_committed: sql += "READ COMMITTED"; break;
    case Isolation::repeatable_read: sql += "REPEATABLE READ"; break;
    case Isolation::serializable: sql += "SERIALIZABLE"; break;
  }
  return sql + (options.read_only ? " READ ONLY" : " READ WRITE");
}

}  // namespace

Transaction::Transaction(Session& session, TransactionOptions options) : session_(&session) {
  if (session.in_transaction()) {
    raise({.kind = ErrorKind::misuse, .message = "the session has a transaction open already"});
  }
  session.execute(begin_statement(options));
}

Transaction::~Transaction() {
  if (!open_ || !session_->is_open()) return;
  const Session::Options before = session_->options_;
  try {
    session_->options_.timeout = kRollbackSpan;
    session_->options_.stop = {};
    session_->execute("ROLLBACK");
    session_->options_ = before;
  } catch (...) {
    session_->close();
  }
}

void Transaction::commit() {
  if (!open_) raise({.kind = ErrorKind::misuse, .message = "the transaction has ended already"});
  if (!session_->is_open()) {
    // Known to be lost before COMMIT was sent: there is no doubt.
    raise({.kind = ErrorKind::lost, .message = "the session was lost before COMMIT"});
  }
  // A stop that came before COMMIT was sent leaves no doubt: the end of the scope rolls back.
  if (session_->options_.stop.stop_requested()) {
    raise({.kind = ErrorKind::stopped, .message = "stopped before COMMIT; the transaction is rolled back"});
  }
  session_->begin("commit");
  open_ = false;
  try {
    session_->wire_.send_script("COMMIT");
    const Result result = session_->finish();
    if (result.command() != "COMMIT") {
      raise({.kind = ErrorKind::server,
             .message = "the transaction was rolled back: a statement in it had failed before COMMIT",
             .sqlstate = "25P02"});
    }
  } catch (const Error& error) {
    if (session_->is_open()) throw;
    ErrorInfo info = error.info();
    info.kind = ErrorKind::in_doubt;
    info.message = "the connection was lost during COMMIT, so the transaction may have been kept or not: " +
                   info.message;
    raise(std::move(info));
  }
}

void Transaction::rollback() {
  if (!open_) return;
  open_ = false;
  session_->execute("ROLLBACK");
}

void Transaction::set_local(std::string_view name, std::string_view value) {
  session_->execute("SELECT set_config($1, $2, true)", name, value);
}

}  // namespace weir::pg
