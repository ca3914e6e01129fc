#include <array>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/database.h"
#include "cli/job_words.h"
#include "cli/program_argument.h"
#include "cli/sql_argument.h"
#include "cli/stream_words.h"
#include "cli/telling.h"
#include "schema/schema_check.h"
#include "stream/consumer.h"
#include "stream/overview.h"
#include "stream/sql_check.h"
#include "stream/sql_doer.h"
#include "stream/stream.h"
#include "stream/table_rights.h"
#include "work/command_handler.h"

namespace weir::cli {
namespace {

using namespace std::chrono_literals;

constexpr int kMostLanes = 256;

constexpr std::string_view kUsage =
    "weir stream consume NAME --group GROUP --sql 'SQL', or weir stream consume NAME --group GROUP -- "
    "COMMAND..";

class StreamConsuming {
 public:
  explicit StreamConsuming(Context& context)
      : context_(context), given_(context.arguments), telling_(context) {
    options_.stream = stream_name(context, kUsage);
    options_.group = group_name(context, kUsage);
    is_sql_ = given_.has("sql");
    if (is_sql_ == !given_.rest.empty()) {
      throw Error(ExitCode::usage,
                  is_sql_ ? "--sql and a command exclude one another" : "what is to be done with the events?",
                  fmt::format("Write: {}", kUsage));
    }
    options_.workers = static_cast<std::size_t>(given_.number("workers", 1, 256).value_or(4));
    options_.batch = given_.number("batch", 1, 100'000).value_or(1000);
    options_.drain = given_.duration("drain", 0s, 24h).value_or(30s);
    options_.lease = given_.duration("lease", 1s, 1h).value_or(15s);
    options_.once = given_.has("once");
    options_.ordered = given_.has("ordered");
    options_.lanes = given_.number("lanes", 1, kMostLanes);
    if (options_.lanes && !options_.ordered) {
      throw Error(ExitCode::usage, "--lanes says how a group is kept in order, and --ordered that it is",
                  "Write both: --ordered --lanes N");
    }
    timeout_ = given_.duration("timeout", 1ms, 24h);
    if (is_sql_) {
      sql_ = read_sql_argument(*given_.value("sql"));
      if (trim(sql_).empty()) throw Error(ExitCode::usage, "--sql: there is no SQL in it");
    } else {
      check_program(given_.rest);
    }
  }

  ExitCode run() {
    connect();
    consumer_.emplace(connector_, work(), options_);
    consumer_->start();
    tell_started();
    const bool finished = watch();
    if (!finished) tell_draining();
    consumer_->stop();
    tell_end(finished);
    if (options_.once && !finished) return ExitCode::interrupted;
    return options_.once && consumer_->counts().dead > 0 ? ExitCode::failed : ExitCode::ok;
  }

 private:
  void connect() {
    const pg::Conninfo conninfo = running_database(context_.global, choose_database(context_.global));
    pg::Connector::Options options;
    if (is_sql_) options_.patience = options.session.timeout = timeout_.value_or(kSqlTimeout) + kAnswer;
    connector_ = std::make_shared<const pg::Connector>(conninfo, options);
    pg::Session session = connector_->unprepared().connect(pg::Role::api, "stream", {.stop = context_.stop});
    session.set_stop(context_.stop);
    schema::require_schema(session);
    const stream::StreamDefinition stream = stream::find_stream(session, options_.stream);
    stream::require_rights(session, stream, stream::Rights::read);
    const stream::StreamOverview overview = stream::overview_of(session, stream);
    if (!overview.here) {
      throw Error(
          ExitCode::refused,
          fmt::format("the stream {} was brought to this server from another one, by a dump or an upgrade",
                      stream.name),
          fmt::format("weir stream rebase {} takes it over, once; nothing is lost or repeated.",
                      stream.name));
    }
    read_from(session, overview);
    if (!is_sql_) return;
    // The user's SQL finds names where the user's psql does.
    options.users_search_path = true;
    pg::Session users = pg::Connector(conninfo, options)
                            .unprepared()
                            .connect(pg::Role::api, "stream", {.stop = context_.stop});
    search_path_ = users.execute("SELECT pg_catalog.current_setting('search_path')")[0].get<std::string>(0);
    stream::check_chunk_sql(session, stream, sql_, search_path_);
  }

  void read_from(pg::Session& session, const stream::StreamOverview& overview) {
    for (const stream::GroupFigures& group : overview.groups) {
      if (group.name != options_.group) continue;
      is_new_ = false;
      if (group.paused)
        context_.progress.note(fmt::format("the group {0} is paused: weir stream resume {1} --group {0}",
                                           printable(group.name), printable(options_.stream)));
    }
    const auto from = given_.value("from");
    if (!from) return;
    options_.from = stream_time(session, "from", *from);
    if (!is_new_) {
      context_.progress.note(fmt::format(
          "the group {} goes on where it is: --from is for a new one, weir stream seek sets it back",
          printable(options_.group)));
    }
  }

  stream::Consumer::Work work() {
    stream::Consumer::Work work;
    if (is_sql_) {
      work.transactional = [sql = sql_, path = search_path_](const stream::GroupSource& source) {
        return std::make_unique<stream::SqlDoer>(source.sql(),
                                                 stream::SqlDoer::Options{.sql = sql, .search_path = path});
      };
      return work;
    }
    work::CommandOptions options;
    options.command.argv = given_.rest;
    options.queue = options_.stream;
    options.timeout = timeout_;
    work.leased = [options, slot = 0]() mutable {
      options.slot = slot++;
      return std::make_unique<work::CommandHandler>(options);
    };
    return work;
  }

  /// True when nothing is left.
  bool watch() {
    for (;;) {
      if (consumer_->wait_until_finished(context_.stop, Deadline::after(telling_.every()))) return true;
      if (context_.stop.stop_requested()) return false;
      telling_.progress(figures());
    }
  }

  [[nodiscard]] std::array<Figure, 3> figures() const {
    const stream::GroupCounts& counts = consumer_->counts();
    return {Figure{"done", counts.done}, {"tried_again", counts.again}, {"dead", counts.dead}};
  }

  void tell_started() {
    if (is_new_) {
      const std::string begin = !options_.from
                                    ? "it gets what comes from now on (--from beginning: all there is)"
                                : *options_.from == WallTime::min()
                                    ? "it begins with all there is"
                                    : "it begins with the events since " + time_text(*options_.from);
      context_.progress.note(fmt::format("made the group {}: {}", printable(options_.group), begin));
    }
    const std::int32_t lanes = consumer_->group().lanes;
    if (lanes > 0) {
      context_.progress.note(fmt::format("the group {} is kept in order by key, in {} lane{}",
                                         printable(options_.group), lanes, lanes == 1 ? "" : "s"));
    }
    telling_.started(
        {{"stream", options_.stream},
         {"group", options_.group},
         {"workers", options_.workers},
         {"lanes", lanes},
         {"delivery", is_sql_ ? "transactional" : "leased"}},
        fmt::format("consuming {} for {} with {} worker{} ({}); Ctrl-C ends it", printable(options_.stream),
                    printable(options_.group), options_.workers, options_.workers == 1 ? "" : "s",
                    is_sql_ ? "exactly once" : "at least once"));
  }

  void tell_draining() {
    telling_.draining(fmt::format(
        "stopping: {} within {}; once more ends it at once",
        is_sql_ ? "open transactions are waited for" : "what runs is to end, the rest is handed back",
        human_duration(options_.drain)));
  }

  void tell_end(bool finished) {
    const auto end = figures();
    telling_.stopped(
        end, finished,
        fmt::format("{}: {} done, {} tried again, {} dead", printable(options_.group),
                    events_text(end[0].count), human_count(end[1].count), human_count(end[2].count)));
    if (end[2].count > 0 && !context_.global.json) {
      context_.progress.note(fmt::format("what was given up: weir stream dead {} --group {}",
                                         printable(options_.stream), printable(options_.group)));
    }
  }

  Context& context_;
  const Arguments& given_;
  bool is_sql_ = false;
  bool is_new_ = true;
  std::string sql_;
  std::string search_path_;
  std::optional<Duration> timeout_;
  stream::ConsumerOptions options_;
  std::shared_ptr<const pg::Connector> connector_;
  std::optional<stream::Consumer> consumer_;
  Telling telling_;
};

ExitCode run_stream_consume(Context& context) { return StreamConsuming(context).run(); }

}  // namespace

Command stream_consume_command() {
  return {
      .path = "stream consume",
      .summary = "consume a stream for a group, with SQL or a command, until Ctrl-C",
      .description =
          "Each event comes to each group once; any number of processes share a group, which the first one\n"
          "makes. With --sql the statements find a chunk of events as the relation weir_chunk (xid, "
          "event_id,\n"
          "at, key, payload) and run in the transaction that strikes it off: their effects in this database\n"
          "happen exactly once. A command is started once for each worker and gets events as lines of JSON\n"
          "(docs/command-protocol.md), at least once. Events that fail are tried again by themselves.\n"
          "\n"
          "With --ordered events with the same key come one after the other, in the order of the\n"
          "transactions that wrote them: each key belongs to one of the group's lanes, and a lane is\n"
          "worked on by one worker at a time. It stays at an event that fails until that is done or dead.\n"
          "A command is then given one event at a time.\n"
          "\n"
          "SQL that cannot work at all is refused before it begins (exit code 3). Ctrl-C or SIGTERM drains;\n"
          "once more ends it at once. Exit code 0; with --once 0 when nothing is left, 1 when events were\n"
          "given up, 130 when it was interrupted.",
      .options =
          {{"group", 0, "GROUP", "for whom (needed); a new one gets what comes from now on"},
           {"from", 0, "TIME", "a new group gets also what is there since then; or 'beginning', or 2h"},
           {"sql", 0, "FILE|TEXT", "SQL that does the work of a chunk, in its transaction"},
           {"workers", 'w', "N", "sessions, or processes of the command, at work (default: 4)"},
           {"batch", 0, "N", "events that are read together, at most (default: 1000)"},
           {"ordered", 0, "", "a new group is kept in order by key; one that is there has to be so already"},
           {"lanes", 0, "N", "of a new ordered group: what can be worked on side by side (default: 16)"},
           {"once", 0, "", "end when nothing is left"},
           {"drain", 0, "TIME", "how long to wait for what runs, at the end (default: 30s)"},
           {"lease", 0, "TIME", "how long others wait before they take over from a dead one (default: 15s)"},
           {"timeout", 0, "TIME", "the longest that a batch may take (default: none; with --sql 10m)"}},
      .words = "NAME",
      .rest = "COMMAND [ARGUMENT]...",
      .examples = {{"weir stream consume events --group daily --sql daily.sql", "exactly once"},
                   {"weir stream consume events --group daily --from beginning --once --sql "
                    "'INSERT INTO seen SELECT event_id FROM weir_chunk'",
                    ""},
                   {"weir stream consume events --group mail -w 2 -- ./send-mail", "at least once"},
                   {"weir stream consume events --group accounts --ordered -- ./apply", "in order by key"}},
      .run = run_stream_consume};
}

}  // namespace weir::cli
