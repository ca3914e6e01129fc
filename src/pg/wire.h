#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

#include "base/wait.h"
#include "pg/conninfo.h"
#include "pg/limit.h"
#include "pg/params.h"
#include "pg/result.h"

struct pg_conn;    // libpq's PGconn
struct pg_cancel;  // libpq's PGcancel
struct pg_result;  // libpq's PGresult

namespace weir::pg {

struct Notification {
  std::string channel;
  std::string payload;
  int sender_pid = 0;
};

/// Asks the server to cancel what a session is running. Safe in any thread while the session works in its
/// own.
class Canceller {
 public:
  explicit Canceller(std::shared_ptr<pg_cancel> handle) noexcept : handle_(std::move(handle)) {}
  /// Whether the request was delivered within the span; whether it comes in time, only the statement's result
  /// tells. libpq's own call has no bound, so it runs on a thread of its own that outlives the span if it
  /// must.
  [[nodiscard]] bool cancel(Duration span) const;
  /// The same without waiting for delivery: for a statement that nobody waits for any more.
  void cancel_soon() const noexcept;

 private:
  std::shared_ptr<pg_cancel> handle_;
};

/// libpq's verbs, each with a limit. wire.cc is the only file that calls libpq. One thread uses a Wire.
/// Whenever an answer stays away (deadline, stop, loss) the connection is closed: what it would say next is
/// unknown.
class Wire {
 public:
  /// `switches` are for the server process (`-c name=value`), behind those of the connection string.
  static Wire connect(const Conninfo& conninfo, const Limit& limit, const std::string& switches = {});

  Wire(Wire&&) noexcept = default;
  Wire& operator=(Wire&&) noexcept = default;
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;
  ~Wire() = default;

  [[nodiscard]] bool is_open() const noexcept { return connection_ != nullptr; }
  void close() noexcept { connection_.reset(); }
  /// A statement begins: the name that errors carry from now on; it must outlive its use.
  void set_query(std::string_view name) noexcept;

  /// Told what the server says beside its answers (NOTICE, WARNING, INFO), while these are read; nothing ends
  /// it. What the handler throws is dropped.
  using NoticeHandler = std::function<void(std::string_view severity, std::string_view message)>;
  void set_notice_handler(NoticeHandler handler) { said_->handler = std::move(handler); }

  // Each sends, as far as the socket takes it; next_result() and flush() do the rest.
  void send(const char* sql, Params::View params);
  void send_script(const char* sql);  ///< several statements, one implicit transaction; text results
  void send_prepare(const char* name, const char* sql, std::span<const Oid> types);
  void send_prepared(const char* name, Params::View params);
  void send_describe_prepared(const char* name);
  /// Of what was just sent: each row is a result of its own, so that any number of them fits.
  void rows_one_by_one();

  /// The next result of what was sent; nothing at the end of each statement.
  std::optional<Result> next_result(const Limit& limit);
  /// Whether next_result() would answer without waiting. Reads what has arrived.
  [[nodiscard]] bool result_is_ready();

  void enter_pipeline();
  void exit_pipeline();
  void send_sync();
  void request_flush();  ///< makes the server send the answers it has, without ending the group
  void flush(const Limit& limit);

  /// COPY data in; returns when the socket has taken nearly all, so memory stays bounded (libpq alone queues
  /// for ever).
  void put_copy_data(std::span<const char> data, const Limit& limit);
  /// Ends COPY IN; with a reason, as a failure that undoes it.
  void put_copy_end(const char* failure_reason, const Limit& limit);
  struct CopyMemory {
    void operator()(char* memory) const noexcept;
  };
  struct CopyChunk {
    std::unique_ptr<char, CopyMemory> memory;
    std::size_t size = 0;
  };
  /// The next row of COPY OUT; nothing at its end, when next_result() has the outcome.
  std::optional<CopyChunk> get_copy_data(const Limit& limit);

  /// Waits for data from the server and takes it in; any thread may end the wait through `wakeup`.
  WaitEnd wait_readable(const Limit& limit, Wakeup& wakeup);
  std::optional<Notification> next_notification();

  enum class Transaction { idle, active, open, failed, unknown };
  [[nodiscard]] Transaction transaction() const noexcept;
  [[nodiscard]] int backend_pid() const noexcept;
  /// For instance 150020.
  [[nodiscard]] int server_version() const noexcept;
  [[nodiscard]] std::string_view server_setting(const char* name) const noexcept;
  /// False when the server has closed the idle connection; costs one system call.
  [[nodiscard]] bool still_alive() noexcept;
  [[nodiscard]] Canceller canceller() const;

 private:
  struct Finish {
    void operator()(pg_conn* connection) const noexcept;
  };
  using Connection = std::unique_ptr<pg_conn, Finish>;
  struct Said {
    bool farewell = false;  ///< before it ended the session
    std::string ending;     ///< the SQLSTATE with which the server announced an end, of whosever making
    NoticeHandler handler;
  };
  static void take_notice(void* said, const pg_result* notice);

  explicit Wire(Connection connection);
  static Connection start_connecting(const Conninfo& conninfo, const std::string& switches,
                                     const Limit& limit, Wakeup& wakeup);

  [[nodiscard]] pg_conn* handle() const;
  void check_sent(int accepted);
  /// Waits until the socket is readable or, where asked, writable. Closes the connection and throws when it
  /// is neither in time.
  void await(short events, const Limit& limit);
  void read_input();
  [[noreturn]] void lose(ErrorKind kind, std::string_view message);

  std::unique_ptr<Said> said_ = std::make_unique<Said>();  // libpq holds its address
  Connection connection_;
  Wakeup wakeup_;
  std::string_view query_;
};

/// libpq's parser of connection strings; what is wrong with `text` where it is none. The reason may quote a
/// password.
tl::expected<ConninfoOptions, std::string> parse_conninfo(const std::string& text);

}  // namespace weir::pg
