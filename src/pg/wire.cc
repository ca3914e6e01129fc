#include "pg/wire.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <thread>
#include <utility>

#include <arpa/inet.h>
#include <poll.h>

#include <libpq-fe.h>

#include "base/error.h"
#include "base/exit_grace.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/text.h"
#include "pg/connect_error.h"

namespace weir::pg {
namespace {

constexpr int kBinary = 1;
// libpq keeps what it could not send; pieces of this size keep that small whatever the caller hands in.
constexpr std::size_t kCopyPiece = std::size_t{64} * 1024;

std::string field(const PGresult* result, int code) {
  const char* text = PQresultErrorField(result, code);
  return text == nullptr ? std::string() : std::string(text);
}

bool is_numeric_address(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> address{};
  return ::inet_pton(AF_INET, host.c_str(), address.data()) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), address.data()) == 1;
}

/// Whether connecting has to look a name up, for which the C library gives no bound.
bool needs_resolver(const Conninfo& conninfo) {
  if (conninfo.get("hostaddr")) return false;
  std::string_view hosts = conninfo.get("host").value_or("localhost");
  while (!hosts.empty()) {
    const std::size_t end = std::min(hosts.find(','), hosts.size());
    const std::string host(hosts.substr(0, end));
    hosts.remove_prefix(std::min(end + 1, hosts.size()));
    const bool socket = host.starts_with('/') || host.starts_with('@') || host.empty();
    if (!socket && !is_numeric_address(host)) return true;
  }
  return false;
}

PGconn* connect_start(const Conninfo& conninfo, const std::string& switches) {
  std::vector<const char*> keys;
  std::vector<const char*> values;
  for (const auto& [key, value] : conninfo.options()) {
    keys.push_back(key.c_str());
    values.push_back(value.c_str());
  }
  std::string options;
  if (!switches.empty()) {
    // What is set here hides the environment's, and of a keyword given twice the last counts.
    const char* const environment = std::getenv("PGOPTIONS");
    options = std::string(conninfo.get("options").value_or(environment == nullptr ? "" : environment));
    options.append(options.empty() ? "" : " ").append(switches);
    keys.push_back("options");
    values.push_back(options.c_str());
  }
  keys.push_back(nullptr);
  values.push_back(nullptr);
  return PQconnectStartParams(keys.data(), values.data(), 0);
}

/// What the connecting thread and the one that waits for it share; whoever comes last owns the connection.
struct PendingStart {
  Mutex mutex;
  PGconn* connection WEIR_GUARDED_BY(mutex) = nullptr;
  bool abandoned WEIR_GUARDED_BY(mutex) = false;
  Wakeup done;
};

}  // namespace

tl::expected<ConninfoOptions, std::string> parse_conninfo(const std::string& text) {
  char* message = nullptr;
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> parsed(
      PQconninfoParse(text.c_str(), &message), &PQconninfoFree);
  const std::unique_ptr<char, decltype(&PQfreemem)> owned_message(message, &PQfreemem);
  if (!parsed) return tl::unexpected(std::string(trim(message == nullptr ? "out of memory" : message)));
  ConninfoOptions options;
  for (const PQconninfoOption* option = parsed.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr) options.emplace_back(option->keyword, option->val);
  }
  return options;
}

// Canceller

bool Canceller::cancel(Duration span) const {
  struct State {
    Wakeup done;
    std::atomic<bool> delivered{false};
  };
  auto state = std::make_shared<State>();
  std::thread([state, handle = handle_, grace = std::make_unique<ExitGrace>()] {
    std::array<char, 256> message{};
    state->delivered = PQcancel(handle.get(), message.data(), static_cast<int>(message.size())) == 1;
    state->done.notify();
  }).detach();
  Wakeup unused;
  wait_fd(state->done.fd(), POLLIN, Deadline::after(span), {}, unused);
  return state->delivered;
}

void Canceller::cancel_soon() const noexcept {
  try {
    std::thread([handle = handle_, grace = std::make_unique<ExitGrace>()] {
      std::array<char, 256> message{};
      PQcancel(handle.get(), message.data(), static_cast<int>(message.size()));
    }).detach();
  } catch (const std::exception& error) {
    log::warn("a statement could not be cancelled", {{"error", error.what()}});
  }
}

// Connecting

void Wire::Finish::operator()(PGconn* connection) const noexcept { PQfinish(connection); }

Wire::Connection Wire::start_connecting(const Conninfo& conninfo, const std::string& switches,
                                        const Limit& limit, Wakeup& wakeup) {
  if (!needs_resolver(conninfo)) return Connection(connect_start(conninfo, switches));
  auto pending = std::make_shared<PendingStart>();
  std::thread([pending, conninfo, switches] {
    PGconn* connection = connect_start(conninfo, switches);
    const MutexLock lock(pending->mutex);
    if (pending->abandoned) {
      PQfinish(connection);
      return;
    }
    pending->connection = connection;
    pending->done.notify();
  }).detach();
  const WaitEnd end = wait_fd(pending->done.fd(), POLLIN, limit.deadline, limit.stop, wakeup);
  const MutexLock lock(pending->mutex);
  pending->abandoned = true;
  Connection connection(std::exchange(pending->connection, nullptr));
  if (end == WaitEnd::stopped) {
    raise({.kind = ErrorKind::stopped, .message = "stopped while connecting to " + conninfo.display()});
  }
  if (end == WaitEnd::deadline && !connection)
    raise(explain_connect_failure("the look-up of the host timed out", conninfo));
  return connection;
}

/// Notices are in the server's log, too; libpq's default would write them to our standard error. One kind
/// matters always: what the server says of its own accord when it ends an idle session arrives as a notice,
/// before the socket is closed.
void Wire::take_notice(void* said, const pg_result* notice) {
  Said& mine = *static_cast<Said*>(said);
  const std::string severity = field(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
  if (severity == "FATAL" || severity == "PANIC") mine.farewell = true;
  // After the crash of another server process ours is ended with a mere warning, and no error follows. A
  // statement can raise such a warning too, but none that goes beyond it.
  if (mine.farewell || severity == "WARNING") {
    if (std::string state = field(notice, PG_DIAG_SQLSTATE); state.starts_with("57P0"))
      mine.ending = std::move(state);
  }
  if (!mine.handler) return;
  try {
    mine.handler(severity, field(notice, PG_DIAG_MESSAGE_PRIMARY));
  } catch (const std::exception& error) {  // libpq is in between
    log::warn("a notice of the server could not be told", {{"error", error.what()}});
  }
}

Wire::Wire(Connection connection) : connection_(std::move(connection)) {
  PQsetNoticeReceiver(connection_.get(), &take_notice, said_.get());
  PQsetErrorVerbosity(connection_.get(), PQERRORS_VERBOSE);  // only so does a refusal carry its SQLSTATE
}

Wire Wire::connect(const Conninfo& conninfo, const Limit& limit, const std::string& switches) {
  Wakeup wakeup;
  Connection started = start_connecting(conninfo, switches, limit, wakeup);
  if (!started) throw std::bad_alloc();
  Wire wire(std::move(started));
  PGconn* const connection = wire.handle();
  PostgresPollingStatusType step = PGRES_POLLING_WRITING;
  while (PQstatus(connection) != CONNECTION_BAD && step != PGRES_POLLING_OK && step != PGRES_POLLING_FAILED) {
    // Asked for anew each time: libpq opens another socket for the next address.
    const int fd = PQsocket(connection);
    const short events = step == PGRES_POLLING_READING ? POLLIN : POLLOUT;
    switch (wait_fd(fd, events, limit.deadline, limit.stop, wakeup)) {
      case WaitEnd::ready:
      case WaitEnd::woken: break;
      case WaitEnd::stopped:
        raise({.kind = ErrorKind::stopped, .message = "stopped while connecting to " + conninfo.display()});
      case WaitEnd::deadline:
        raise(explain_connect_failure(
            std::string(PQerrorMessage(connection)) + "\nthe connection attempt timed out", conninfo));
    }
    step = PQconnectPoll(connection);
  }
  const bool usable = step == PGRES_POLLING_OK && PQsetnonblocking(connection, 1) == 0;
  if (!usable) raise(explain_connect_failure(PQerrorMessage(connection), conninfo));
  PQsetErrorVerbosity(connection, PQERRORS_DEFAULT);
  return wire;
}

// Sending

void Wire::set_query(std::string_view name) noexcept {
  query_ = name;
  // What was followed by another statement was not the end.
  if (connection_ && !said_->farewell) said_->ending.clear();
}

PGconn* Wire::handle() const {
  if (!connection_)
    raise({.kind = ErrorKind::lost,
           .message = "the session is closed",
           .sqlstate = said_ ? said_->ending : "",  // for who caught the error that said so first
           .query = std::string(query_)});
  return connection_.get();
}

void Wire::check_sent(int accepted) {
  if (accepted == 1) return;
  if (PQstatus(handle()) == CONNECTION_BAD) lose(ErrorKind::lost, PQerrorMessage(handle()));
  raise({.kind = ErrorKind::misuse,
         .message = std::string(trim(PQerrorMessage(handle()))),
         .query = std::string(query_)});
}

void Wire::send(const char* sql, Params::View params) {
  check_sent(PQsendQueryParams(handle(), sql, params.count, params.types, params.values, params.lengths,
                               params.formats, kBinary));
}

void Wire::send_script(const char* sql) { check_sent(PQsendQuery(handle(), sql)); }

void Wire::send_prepare(const char* name, const char* sql, std::span<const Oid> types) {
  check_sent(PQsendPrepare(handle(), name, sql, static_cast<int>(types.size()), types.data()));
}

void Wire::send_prepared(const char* name, Params::View params) {
  check_sent(PQsendQueryPrepared(handle(), name, params.count, params.values, params.lengths, params.formats,
                                 kBinary));
}

void Wire::send_describe_prepared(const char* name) { check_sent(PQsendDescribePrepared(handle(), name)); }

void Wire::rows_one_by_one() { check_sent(PQsetSingleRowMode(handle())); }

void Wire::enter_pipeline() { check_sent(PQenterPipelineMode(handle())); }
void Wire::exit_pipeline() { check_sent(PQexitPipelineMode(handle())); }
void Wire::request_flush() { check_sent(PQsendFlushRequest(handle())); }
void Wire::send_sync() { check_sent(PQpipelineSync(handle())); }

// Waiting

void Wire::lose(ErrorKind kind, std::string_view message) {
  ErrorInfo info{.kind = kind, .message = std::string(trim(message)), .query = std::string(query_)};
  if (kind == ErrorKind::lost) info.sqlstate = said_->ending;
  if (info.message.empty()) info.message = "the connection to the server was lost";
  close();
  raise(std::move(info));
}

void Wire::await(short events, const Limit& limit) {
  WaitEnd end = WaitEnd::woken;
  while (end == WaitEnd::woken)
    end = wait_fd(PQsocket(handle()), events, limit.deadline, limit.stop, wakeup_);
  if (end == WaitEnd::ready) return;
  // Closing alone would leave the statement running, with its locks, until the server next writes to us.
  if (PQtransactionStatus(handle()) == PQTRANS_ACTIVE) canceller().cancel_soon();
  if (end == WaitEnd::stopped) lose(ErrorKind::stopped, "stopped while waiting for the server");
  lose(ErrorKind::deadline, "the server did not answer in time; the connection was closed");
}

void Wire::read_input() {
  // On failure PQgetResult has the server's last words, or libpq's own; next_result() reports them.
  PQconsumeInput(handle());
}

void Wire::flush(const Limit& limit) {
  for (int left = PQflush(handle()); left != 0; left = PQflush(handle())) {
    if (left < 0) lose(ErrorKind::lost, PQerrorMessage(handle()));
    await(POLLIN | POLLOUT, limit);
    // The server may have to get rid of answers before it reads on.
    read_input();
  }
}

bool Wire::result_is_ready() {
  PQflush(handle());
  read_input();
  return PQisBusy(handle()) == 0;
}

std::optional<Result> Wire::next_result(const Limit& limit) {
  for (;;) {
    const int left = PQflush(handle());
    if (PQisBusy(handle()) == 0) break;
    await(static_cast<short>(left == 1 ? POLLIN | POLLOUT : POLLIN), limit);
    read_input();
  }
  PGresult* raw = PQgetResult(handle());
  if (raw == nullptr) {
    if (PQstatus(handle()) == CONNECTION_BAD) lose(ErrorKind::lost, PQerrorMessage(handle()));
    return std::nullopt;
  }
  Result result(raw);
  result.set_query(query_);
  if (result.status() == Result::Status::error) {
    ErrorInfo info = result.error();
    if (PQstatus(handle()) == CONNECTION_BAD) info.kind = ErrorKind::lost;
    if (info.kind == ErrorKind::lost) {
      if (info.sqlstate.empty()) info.sqlstate = said_->ending;
      said_->ending = info.sqlstate;
      close();
      raise(std::move(info));
    }
  }
  return result;
}

WaitEnd Wire::wait_readable(const Limit& limit, Wakeup& wakeup) {
  const WaitEnd end = wait_fd(PQsocket(handle()), POLLIN, limit.deadline, limit.stop, wakeup);
  if (end != WaitEnd::ready) return end;
  if (PQconsumeInput(handle()) == 0) lose(ErrorKind::lost, PQerrorMessage(handle()));
  return end;
}

std::optional<Notification> Wire::next_notification() {
  const std::unique_ptr<PGnotify, decltype(&PQfreemem)> notify(PQnotifies(handle()), &PQfreemem);
  if (!notify) return std::nullopt;
  return Notification{notify->relname, notify->extra, notify->be_pid};
}

// COPY

void Wire::CopyMemory::operator()(char* memory) const noexcept { PQfreemem(memory); }

void Wire::put_copy_data(std::span<const char> data, const Limit& limit) {
  while (!data.empty()) {
    const auto piece = data.first(std::min(data.size(), kCopyPiece));
    check_sent(PQputCopyData(handle(), piece.data(), static_cast<int>(piece.size())));
    flush(limit);
    data = data.subspan(piece.size());
  }
}

void Wire::put_copy_end(const char* failure_reason, const Limit& limit) {
  check_sent(PQputCopyEnd(handle(), failure_reason));
  flush(limit);
}

std::optional<Wire::CopyChunk> Wire::get_copy_data(const Limit& limit) {
  for (;;) {
    char* data = nullptr;
    const int size = PQgetCopyData(handle(), &data, 1);
    if (size > 0) return CopyChunk{std::unique_ptr<char, CopyMemory>(data), static_cast<std::size_t>(size)};
    if (size == -1) return std::nullopt;
    if (size == -2) check_sent(0);
    await(POLLIN, limit);
    if (PQconsumeInput(handle()) == 0) lose(ErrorKind::lost, PQerrorMessage(handle()));
  }
}

// State

Wire::Transaction Wire::transaction() const noexcept {
  if (!connection_) return Transaction::unknown;
  switch (PQtransactionStatus(connection_.get())) {
    case PQTRANS_IDLE: return Transaction::idle;
    case PQTRANS_ACTIVE: return Transaction::active;
    case PQTRANS_INTRANS: return Transaction::open;
    case PQTRANS_INERROR: return Transaction::failed;
    case PQTRANS_UNKNOWN: break;
  }
  return Transaction::unknown;
}

int Wire::backend_pid() const noexcept { return connection_ ? PQbackendPID(connection_.get()) : 0; }
int Wire::server_version() const noexcept { return connection_ ? PQserverVersion(connection_.get()) : 0; }

std::string_view Wire::server_setting(const char* name) const noexcept {
  const char* value = connection_ ? PQparameterStatus(connection_.get(), name) : nullptr;
  return value == nullptr ? std::string_view() : std::string_view(value);
}

bool Wire::still_alive() noexcept {
  if (!connection_ || PQstatus(connection_.get()) != CONNECTION_OK) return false;
  pollfd socket{PQsocket(connection_.get()), POLLIN | POLLRDHUP, 0};
  if (::poll(&socket, 1, 0) != 0) {
    if ((socket.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) return false;
    if (PQconsumeInput(connection_.get()) == 0) return false;
  }
  // Looks at what has come, now or while somebody waited: notifications, or the server's last words.
  PQisBusy(connection_.get());
  return !said_->farewell && PQstatus(connection_.get()) == CONNECTION_OK;
}

Canceller Wire::canceller() const {
  return Canceller(std::shared_ptr<pg_cancel>(PQgetCancel(handle()), &PQfreeCancel));
}

// Result: here, because its verbs are libpq's as well

void Result::Clear::operator()(PGresult* result) const noexcept { PQclear(result); }

Result::Status Result::status() const noexcept {
  switch (PQresultStatus(result_.get())) {
    case PGRES_COMMAND_OK: return Status::command;
    case PGRES_TUPLES_OK:
    case PGRES_SINGLE_TUPLE: return Status::tuples;
    case PGRES_COPY_IN: return Status::copy_in;
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH: return Status::copy_out;
    case PGRES_PIPELINE_SYNC: return Status::pipeline_sync;
    case PGRES_PIPELINE_ABORTED: return Status::pipeline_aborted;
    case PGRES_EMPTY_QUERY: return Status::empty;
    case PGRES_BAD_RESPONSE:
    case PGRES_NONFATAL_ERROR:
    case PGRES_FATAL_ERROR: break;
  }
  return Status::error;
}

int Result::rows() const noexcept { return PQntuples(result_.get()); }
int Result::columns() const noexcept { return PQnfields(result_.get()); }

std::string_view Result::column_name(int column) const noexcept {
  const char* name = PQfname(result_.get(), column);
  return name == nullptr ? std::string_view() : std::string_view(name);
}

Oid Result::column_type(int column) const noexcept { return PQftype(result_.get(), column); }
std::int32_t Result::column_modifier(int column) const noexcept { return PQfmod(result_.get(), column); }
bool Result::is_null(int row, int column) const noexcept {
  return PQgetisnull(result_.get(), row, column) == 1;
}

std::string_view Result::bytes(int row, int column) const noexcept {
  return {PQgetvalue(result_.get(), row, column),
          static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
}

std::int64_t Result::affected() const noexcept {
  return std::strtoll(PQcmdTuples(result_.get()), nullptr, 10);
}

std::string_view Result::command() const noexcept { return PQcmdStatus(result_.get()); }
int Result::parameters() const noexcept { return PQnparams(result_.get()); }
Oid Result::parameter_type(int index) const noexcept { return PQparamtype(result_.get(), index); }

ErrorInfo Result::error() const {
  const PGresult* result = result_.get();
  ErrorInfo info{.message = field(result, PG_DIAG_MESSAGE_PRIMARY),
                 .sqlstate = field(result, PG_DIAG_SQLSTATE),
                 .severity = field(result, PG_DIAG_SEVERITY_NONLOCALIZED),
                 .detail = field(result, PG_DIAG_MESSAGE_DETAIL),
                 .hint = field(result, PG_DIAG_MESSAGE_HINT),
                 .context = field(result, PG_DIAG_CONTEXT),
                 .table = field(result, PG_DIAG_TABLE_NAME),
                 .constraint = field(result, PG_DIAG_CONSTRAINT_NAME),
                 .query = std::string(query_),
                 .position = field(result, PG_DIAG_STATEMENT_POSITION)};
  // Of SQL within a function or a DO block; the context tells which.
  if (info.position.empty()) info.position = field(result, PG_DIAG_INTERNAL_POSITION);
  if (info.message.empty()) info.message = trim(PQresultErrorMessage(result));
  const bool session_ended = info.severity == "FATAL" || info.severity == "PANIC";
  info.kind = session_ended ? ErrorKind::lost : kind_of_sqlstate(info.sqlstate);
  return info;
}

}  // namespace weir::pg
