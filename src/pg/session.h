#pragma once

#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "base/thread_owner.h"
#include "pg/query.h"
#include "pg/rows.h"
#include "pg/wire.h"

namespace weir::pg {

/// A conversation with one server process. Move-only, and used by one thread at a time: debug builds stop the
/// process when another one touches it. After an error of a type derived from ConnectionLost, InDoubt or kind
/// `stopped` it is closed for good; there is no hidden reconnect.
class Session {
 public:
  struct Options {
    /// Longest wait for one answer where nothing else is said; the session is closed when it passes.
    Duration timeout = std::chrono::seconds(60);
    std::stop_token stop{};
    /// False behind a transaction pooler, where the next statement may meet another server process.
    bool prepare = true;
  };

  Session(Wire wire, Options options);
  Session(Session&&) noexcept = default;
  Session& operator=(Session&&) noexcept = default;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() = default;

  /// A query of src/schema/queries, prepared at its first use: `session.run<sql::WorkerAlive>(id)`.
  template <class NamedQuery, class... T>
  Rows<NamedQuery> run(const T&... arguments) {
    static_assert(sizeof...(T) == std::tuple_size_v<typename NamedQuery::Arguments>,
                  "one argument for each parameter");
    scratch_.clear();
    add_arguments<typename NamedQuery::Arguments>(scratch_, std::forward_as_tuple(arguments...),
                                                  std::index_sequence_for<T...>());
    return Rows<NamedQuery>(run(NamedQuery::kQuery, scratch_));
  }
  Result run(const Query& query, Params& params);

  /// One statement that has no name: SQL of the user, DDL, settings.
  template <class... T>
  Result execute(const std::string& sql, const T&... arguments) {
    Params params = Params::of(arguments...);
    return execute_with(sql, params);
  }
  Result execute_with(const std::string& sql, Params& params);
  /// The same without parameters; its rows are dropped as they come, so that any number of them fits. Answers
  /// the last result: the command and how many there were.
  Result execute_without_rows(const std::string& sql);

  /// Several statements at once, as one implicit transaction unless the text says otherwise. Answers the last
  /// result.
  Result execute_script(const std::string& sql);

  /// SET for the rest of the session (Transaction has set_local). `name` and `value` may be anything: they
  /// are parameters.
  void set(std::string_view name, std::string_view value);

  /// For RAISE NOTICE and its like: while statements run, in this thread.
  void set_notice_handler(Wire::NoticeHandler handler) { wire_.set_notice_handler(std::move(handler)); }
  [[nodiscard]] const Options& options() const noexcept { return options_; }
  void set_timeout(Duration timeout) noexcept { options_.timeout = timeout; }
  void set_stop(std::stop_token stop) noexcept { options_.stop = std::move(stop); }
  /// For one call from now on.
  [[nodiscard]] Limit limit() const { return Limit::within(options_.timeout, options_.stop); }

  [[nodiscard]] bool is_open() const noexcept { return wire_.is_open(); }
  void close() noexcept { wire_.close(); }
  /// False when the server has hung up on this idle session.
  [[nodiscard]] bool still_alive();
  [[nodiscard]] bool in_transaction() const noexcept;
  /// Whether what is set in it holds for its next statement, and for nobody else's: not behind a transaction
  /// pooler.
  [[nodiscard]] bool keeps_state() const noexcept { return options_.prepare; }
  [[nodiscard]] int backend_pid() const noexcept { return wire_.backend_pid(); }
  [[nodiscard]] int server_version() const noexcept { return wire_.server_version(); }
  [[nodiscard]] std::string_view server_setting(const char* name) const noexcept {
    return wire_.server_setting(name);
  }
  [[nodiscard]] Canceller canceller() const { return wire_.canceller(); }

  /// What NOTIFY has sent to this session and was read already; it waits for nothing.
  std::optional<Notification> next_notification();
  /// Waits, outside of any statement, until the server says something of its own accord. Throws when it has
  /// gone.
  WaitEnd wait_readable(const Limit& limit, Wakeup& wakeup);

  /// Prepares it now instead of at its first use.
  void prepare(const Query& query);
  [[nodiscard]] bool is_prepared(const Query& query) const;

 private:
  friend class CopyIn;
  friend class CopyOut;
  friend class PinnedSession;
  friend class Pipeline;
  friend class PoolCore;
  friend class Transaction;

  template <class Arguments, class Given, std::size_t... I>
  static void add_arguments(Params& params, const Given& given, std::index_sequence<I...> /*unused*/) {
    static_assert(
        (detail::keeps_value<std::tuple_element_t<I, Arguments>, std::tuple_element_t<I, Given>> && ...),
        "each argument fits its parameter without narrowing");
    (params.add<std::tuple_element_t<I, Arguments>>(std::get<I>(given)), ...);
  }

  /// Every verb begins with it: the right thread, and not in the middle of a COPY or a pipeline.
  void begin(std::string_view query);
  Result finish();
  /// Sends a COPY statement and hands the session to the COPY.
  void begin_copy(const std::string& sql, Result::Status wanted);
  void forget_prepared() noexcept { prepared_.clear(); }
  /// The prepared statement's name on the server: the query's own, numbered where an older one of it went
  /// stale.
  [[nodiscard]] std::string statement_name(const Query& query) const;
  void adopt_by_this_thread() noexcept { owner_.rebind(); }

  Wire wire_;
  Options options_;
  ThreadOwner owner_;
  struct Prepared {
    bool ready = false;
    int stale = 0;  ///< how many of this name may still be on the server and are of no use
  };
  std::unordered_map<std::string_view, Prepared> prepared_;
  std::string_view busy_with_;  // "COPY", "a pipeline" while one of them has the session
  Params scratch_;
};

/// `sql` for libpq, which would take a zero byte for its end and silently run the half before it. Throws
/// misuse.
const char* checked_sql(const std::string& sql);

}  // namespace weir::pg
