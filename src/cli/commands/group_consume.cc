#include <array>
#include <atomic>
#include <chrono>
#include <memory>

#include <poll.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/database.h"
#include "cli/group_words.h"
#include "cli/program_argument.h"
#include "cli/sql_argument.h"
#include "cli/telling.h"
#include "group/consumer.h"
#include "group/overview.h"
#include "group/sinks/command_sink.h"
#include "group/sinks/sql_sink.h"
#include "group/sinks/table_sink.h"
#include "group/sinks/wire_sink.h"
#include "schema/queries/instance.h"
#include "schema/schema_check.h"

namespace weir::cli {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kUsage =
    "weir group consume --sink NAME --sql FILE|TEXT, or --into TABLE, or -- COMMAND..";

std::optional<group::Ownership> ownership_option(const Arguments& given) {
  const std::string word = given.value("ownership").value_or("auto");
  if (word == "auto") return std::nullopt;
  if (word == "advisory") return group::Ownership::advisory;
  if (word == "lease") return group::Ownership::lease;
  throw Error(ExitCode::usage,
              fmt::format("--ownership is '{}', which is none of: auto, advisory, lease", printable(word)),
              "auto takes locks on a direct connection, leases through a pooler.");
}

/// "a,b"
std::vector<std::string> names_in(std::string_view list) {
  std::vector<std::string> names;
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    names.emplace_back(trim(list.substr(0, comma)));
    list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
    if (names.back().empty())
      throw Error(ExitCode::usage, "--key names a column that has no name", "Write: --key a,b");
  }
  return names;
}

class GroupConsuming {
 public:
  explicit GroupConsuming(Context& context)
      : context_(context), given_(context.arguments), telling_(context) {
    const auto sink = given_.value("sink");
    if (!sink) throw Error(ExitCode::usage, "for which sink?", fmt::format("Write: {}", kUsage));
    options_.feed = feed_option(context);
    options_.sink = *sink;
    options_.concurrency = static_cast<std::size_t>(given_.number("concurrency", 1, 1000).value_or(16));
    options_.ownership = ownership_option(given_);
    options_.poll = given_.duration("poll", 10ms, 1h).value_or(options_.poll);
    options_.drain = given_.duration("drain", 0s, 24h).value_or(options_.drain);
    options_.once = given_.has("once");
    timeout_ = given_.duration("timeout", 1ms, 24h);
    read_work();
  }

  ExitCode run() {
    connect();
    consumer_.emplace(connector_, factory(), options_);
    consumer_->start();
    tell_started();
    const bool finished = watch();
    if (!finished) tell_draining();
    consumer_->stop();
    if (const auto failure = consumer_->failure()) std::rethrow_exception(failure);
    tell_end(finished);
    if (options_.once && !finished) return ExitCode::interrupted;
    return options_.once && consumer_->counts().failed > 0 ? ExitCode::failed : ExitCode::ok;
  }

 private:
  enum class Work { sql, table, elsewhere, command };

  /// Everything that needs no database.
  void read_work() {
    const int ways = int{given_.has("sql")} + int{given_.has("into")} + int{!given_.rest.empty()};
    if (ways != 1) {
      throw Error(ExitCode::usage,
                  ways == 0 ? "what is to be done with the batches?"
                            : "--sql, --into and a command exclude one another",
                  fmt::format("Write: {}", kUsage));
    }
    for (const char* const option : {"key", "to"}) {
      if (given_.has(option) && !given_.has("into"))
        throw Error(ExitCode::usage, fmt::format("--{} is about the table of --into", option),
                    "Name the table with --into, or leave it out.");
    }
    if (given_.value("key") && trim(*given_.value("key")).empty())
      throw Error(ExitCode::usage, "--key names no column", "Write: --key a,b, or leave it out.");
    if (given_.has("key") && given_.has("to")) {
      throw Error(ExitCode::usage, "--key is for a table of this database",
                  "On another server batches are only ever inserted, each of them once: leave --key out.");
    }
    if (given_.has("sql")) {
      work_ = Work::sql;
      sql_.sql = read_sql_argument(*given_.value("sql"));
      if (trim(sql_.sql).empty())
        throw Error(ExitCode::usage, "--sql: there is no SQL in it",
                    "Give a file with SQL, or the SQL itself.");
    } else if (given_.has("into")) {
      work_ = given_.has("to") ? Work::elsewhere : Work::table;
      table_.table = *given_.value("into");
      table_.key = names_in(given_.value("key").value_or(""));
      if (const auto url = given_.value("to")) elsewhere_ = pg::Conninfo::parse(*url);
    } else {
      work_ = Work::command;
      check_program(given_.rest);
    }
  }

  [[nodiscard]] bool is_exact() const noexcept { return work_ != Work::command; }

  void connect() {
    const pg::Conninfo conninfo = running_database(context_.global, choose_database(context_.global));
    pg::Connector::Options options;
    if (work_ == Work::sql || work_ == Work::table)
      options.session.timeout = timeout_.value_or(kSqlTimeout) + kAnswer;
    connector_ = std::make_shared<const pg::Connector>(conninfo, options);
    pg::Session session =
        connector_->unprepared().connect(pg::Role::api, "group-consume", {.stop = context_.stop});
    session.set_stop(context_.stop);
    schema::require_schema(session);
    const group::Feed feed = group::find_feed(session, options_.feed);
    const group::FeedSink& sink = group::find_sink_of(feed, options_.sink);
    if (sink.paused) {
      context_.progress.note(fmt::format("the sink {} is paused: weir feed resume {} {}",
                                         printable(sink.name), printable(feed.name), printable(sink.name)));
    }
    group::require_connections(session, options_.concurrency);
    const auto instance = session.run<sql::Instance>();
    label_ = fmt::format("{}/{}:{}/{}", instance.one().id.to_string(), sink.id, feed.name, sink.name);
    // The user's SQL, and the name of the table, mean what they mean in the user's psql.
    options.users_search_path = true;
    pg::Session users = pg::Connector(conninfo, options)
                            .unprepared()
                            .connect(pg::Role::api, "group-consume", {.stop = context_.stop});
    users.set_stop(context_.stop);
    if (work_ == Work::table) {
      table_ = group::find_target(users, table_.table, table_.key);
      table_.timeout = timeout_.value_or(kSqlTimeout);
    }
    if (work_ == Work::elsewhere) group::check_wire_target(wire_options(), context_.stop);
    if (work_ != Work::sql) return;
    sql_.search_path =
        users.execute("SELECT pg_catalog.current_setting('search_path')")[0].get<std::string>(0);
    group::check_batch_sql(session, sql_);
    sql_.timeout = timeout_.value_or(kSqlTimeout);
  }

  [[nodiscard]] group::WireSink::Options wire_options() const {
    pg::Connector::Options session;
    session.users_search_path = true;
    return {.connector = std::make_shared<const pg::Connector>(*elsewhere_, session),
            .table = table_.table,
            .label = label_,
            .timeout = timeout_.value_or(kSqlTimeout)};
  }

  group::SinkFactory factory() {
    switch (work_) {
      case Work::sql: return [options = sql_] { return std::make_unique<group::SqlSink>(options); };
      case Work::table: return [options = table_] { return std::make_unique<group::TableSink>(options); };
      case Work::elsewhere:
        return [options = wire_options()] { return std::make_unique<group::WireSink>(options); };
      case Work::command: break;
    }
    work::CommandOptions options;
    options.command.argv = given_.rest;
    options.queue = options_.feed;
    options.timeout = timeout_;
    // Slots ask for their sinks at the same time.
    return [options, slots = std::make_shared<std::atomic<int>>(0)] {
      work::CommandOptions mine = options;
      mine.slot = (*slots)++;
      return std::make_unique<group::CommandSink>(std::move(mine));
    };
  }

  /// True when nothing is left.
  bool watch() {
    for (;;) {
      switch (wait_fd(consumer_->finished().fd(), POLLIN, Deadline::after(telling_.every()), context_.stop,
                      stopped_)) {
        case WaitEnd::ready: return true;
        case WaitEnd::stopped: return false;
        case WaitEnd::deadline:
        case WaitEnd::woken: break;
      }
      if (consumer_->failure()) return false;
      telling_.progress(figures());
    }
  }

  [[nodiscard]] std::array<Figure, 5> figures() const {
    const group::GroupCounts& counts = consumer_->counts();
    return {Figure{"succeeded", counts.succeeded},
            {"tried_again", counts.retried},
            {"failed", counts.failed},
            {"lost", counts.lost},
            {"woken", counts.woken}};
  }

  void tell_started() {
    const bool by_lock = consumer_->ownership() == group::Ownership::advisory;
    telling_.started(
        {{"feed", options_.feed},
         {"sink", options_.sink},
         {"concurrency", options_.concurrency},
         {"ownership", by_lock ? "advisory" : "lease"},
         {"delivery", is_exact() ? "exactly_once" : "at_least_once"}},
        fmt::format("consuming {} for {}: up to {} group{} at a time, owned by {} ({}); Ctrl-C ends it",
                    printable(options_.feed), printable(options_.sink), options_.concurrency,
                    options_.concurrency == 1 ? "" : "s", by_lock ? "lock" : "lease",
                    is_exact() ? "exactly once" : "at least once"));
  }

  void tell_draining() {
    telling_.draining(
        fmt::format("stopping: batches that are executing are to end within {}, then they are broken "
                    "off; once more ends it at once",
                    human_duration(options_.drain)));
  }

  void tell_end(bool finished) {
    const auto end = figures();
    telling_.stopped(
        end, finished,
        fmt::format("{}: {} succeeded, {} tried again, {} failed, {} lost", printable(options_.sink),
                    batches_text(end[0].count), human_count(end[1].count), human_count(end[2].count),
                    human_count(end[3].count)));
    if (end[2].count > 0 && !context_.global.json)
      context_.progress.note(fmt::format("what failed: weir batch list --state failed --feed {} --sink {}",
                                         printable(options_.feed), printable(options_.sink)));
  }

  Context& context_;
  const Arguments& given_;
  Work work_ = Work::command;
  group::SqlSink::Options sql_;
  group::TableSink::Options table_;
  std::string label_;  // of this sink on another server
  std::optional<Duration> timeout_;
  std::optional<pg::Conninfo> elsewhere_;
  group::ConsumerOptions options_;
  std::shared_ptr<const pg::Connector> connector_;
  std::optional<group::Consumer> consumer_;
  Telling telling_;
  Wakeup stopped_;
};

ExitCode run_group_consume(Context& context) { return GroupConsuming(context).run(); }

}  // namespace

Command group_consume_command() {
  return {
      .path = "group consume",
      .summary = "apply a feed's batches for a sink, group by group in order, until Ctrl-C",
      .description =
          "Takes groups (tenant, key) that nobody has, up to --concurrency of them at a time, each with a\n"
          "connection of its own, and applies their batches in order. Any number of processes may do so.\n"
          "--sql finds its batch as the relation weir_batch (tenant, key, run_id, run, idx, final, attempt, "
          "rows,\n"
          "bytes, created_at, payload), and --into puts the payload's rows into a table, by name of column: "
          "both\n"
          "in the transaction of the batch's status, exactly once. With --to the table is on another server "
          "that\n"
          "speaks PostgreSQL's protocol, where a marker in the same transaction says what it has. A command "
          "gets\n"
          "each batch as a line of JSON (docs/command-protocol.md), at least once.\n"
          "\n"
          "It needs --concurrency + 2 connections, and is refused (5) where the server has not so many. "
          "Ctrl-C or\n"
          "SIGTERM drains; once more ends it at once. Exit code 0; with --once 0 when nothing is left, 1 "
          "when\n"
          "batches failed, 130 when it was interrupted.",
      .options =
          {{"sink", 0, "SINK", "for which sink of the feed (needed)"},
           {"feed", 0, "FEED", "of which feed (default: default)"},
           {"sql", 0, "FILE|TEXT", "SQL that applies a batch, in the transaction of its status"},
           {"into", 0, "TABLE",
            "a table that gets the payload's rows: an array of objects, {\"rows\": [..]}, or one object"},
           {"key", 0, "A,B", "with --into: rows that are there by these columns are updated"},
           {"to", 0, "URL", "with --into: the table is on that server"},
           {"concurrency", 0, "N", "groups at a time (default: 16)"},
           {"ownership", 0, "WAY", "auto (default), advisory, or lease"},
           {"poll", 0, "TIME", "the longest pause between two looks for work (default: 1s)"},
           {"drain", 0, "TIME", "how long what is executing may take at the end (default: 30s)"},
           {"timeout", 0, "TIME",
            "the longest that a batch may take (default: none for a command, else 10m)"},
           {"once", 0, "",
            "end when nothing is left that can be applied; what waits for a missing batch stays"}},
      .rest = "COMMAND [ARGUMENT]...",
      .examples = {{"weir group consume --sink silver --into silver_orders --key id", "exactly once"},
                   {"weir group consume --sink gold --sql gold.sql --concurrency 4", "exactly once"},
                   {"weir group consume --sink lake -- ./write-parquet", "at least once"}},
      .run = run_group_consume};
}

}  // namespace weir::cli
