#include <atomic>
#include <memory>
#include <sstream>

#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/database.h"
#include "cli/sql_argument.h"
#include "cli/term/terminal.h"
#include "exec/command.h"
#include "queue/adopt_catalog.h"
#include "queue/adopt_consumer.h"
#include "queue/adopt_index.h"
#include "queue/adopt_trigger.h"
#include "work/command_handler.h"
#include "work/sql_handler.h"

namespace weir::cli {
namespace {

using namespace std::chrono_literals;
using nlohmann::ordered_json;

constexpr double kSmallTable = 10'000;
/// Where progress is not one line that overwrites itself.
constexpr Duration kProgressEvery = 10s;

std::vector<std::string> split(const std::optional<std::string>& list) {
  std::vector<std::string> parts;
  std::istringstream stream(list.value_or(""));
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

queue::AdoptRequest request_of(const Arguments& given) {
  return {.table = given.words.front(),
          .order_by = split(given.value("order-by")),
          .done = given.value("done").value_or(""),
          .done_value = given.value("done-value"),
          .set = given.values("set"),
          .where = given.value("where").value_or(""),
          .columns = split(given.value("columns")),
          .failed = given.value("failed").value_or("")};
}

class Consuming {
 public:
  explicit Consuming(Context& context) : context_(context), given_(context.arguments) {
    check_words();
    timeout_ = given_.duration("timeout", 1s, 24h);
  }

  ExitCode run() {
    const pg::Conninfo conninfo = running_database(context_.global, choose_database(context_.global));
    pg::Connector::Options options;
    options.users_search_path =
        true;  // the table and the SQL are the user's: names mean what they mean in his psql
    if (given_.has("sql")) options.session.timeout = timeout_.value_or(kSqlTimeout) + kAnswer;
    connector_ = std::make_shared<const pg::Connector>(conninfo, options);
    pg::Session session = connector_->unprepared().connect(pg::Role::api, "consume", {.stop = context_.stop});
    session.set_stop(context_.stop);
    const queue::AdoptFacts facts = queue::read_adopt_facts(session, given_.words.front());
    if (!change_trigger(session, facts)) return ExitCode::ok;

    queue::Adopted adopted = queue::adopt(request_of(given_), facts);
    queue::check_adopted_sql(session, adopted);
    for (const std::string& note : adopted.notes) context_.progress.note(note);
    look_for_index(session, adopted);
    session.close();
    return consume(std::move(adopted));
  }

 private:
  void check_words() const {
    const auto usage = [](const std::string& message, const std::string& remedy) {
      throw Error(ExitCode::usage, message, remedy.empty() ? "See: weir help consume" : remedy);
    };
    if (given_.words.size() != 1)
      usage(given_.words.empty() ? "which table?" : "one table at a time",
            "Such as: weir consume events --order-by created_at --done processed -- ./handle");
    const bool command = !given_.rest.empty();
    const bool sql = given_.has("sql");
    const bool trigger = given_.has("install-trigger") || given_.has("remove-trigger");
    if (given_.has("install-trigger") && given_.has("remove-trigger"))
      usage("--install-trigger and --remove-trigger contradict each other", "");
    if (command && sql) usage("either --sql or a command behind '--', not both", "");
    if (given_.has("remove-trigger") && (command || sql))
      usage("--remove-trigger does that alone", "Leave the command or --sql out.");
    if (!command && !sql && !trigger)
      usage("what is to be done with the rows?", "Add --sql FILE|TEXT, or a command behind '--'.");
    if (!command) return;
    const char* const path = std::getenv("PATH");
    if (!exec::find_program(given_.rest.front(), path == nullptr ? "/usr/bin:/bin" : path))
      usage(fmt::format("the command {} was not found", printable(given_.rest.front())),
            "Give its path, or put its folder on PATH and make it executable.");
  }

  /// False when that was all there was to do.
  bool change_trigger(pg::Session& session, const queue::AdoptFacts& facts) {
    const std::string table = facts.schema + "." + facts.name;
    const bool install = given_.has("install-trigger");
    if (!install && !given_.has("remove-trigger")) return true;
    queue::TriggerOptions options;
    options.limit = pg::Limit::within(2min, context_.stop);
    options.on_retry = [&](int) { context_.progress.step(table + " is in use: waiting for its lock"); };
    context_.progress.step(install
                               ? "making the trigger (SHARE ROW EXCLUSIVE lock: writers wait, readers do not)"
                               : "dropping the trigger (ACCESS EXCLUSIVE lock, for a moment)");
    const bool changed = install ? queue::install_wake_trigger(session, facts, options)
                                 : queue::remove_wake_trigger(session, facts, options);
    context_.progress.clear();
    const bool goes_on = given_.has("sql") || !given_.rest.empty();
    if (context_.global.json) {
      context_.out.json_line(
          {{"event", "trigger"}, {"table", table}, {"present", install}, {"changed", changed}});
    } else if (!goes_on) {
      context_.out.line(fmt::format("the trigger weir_consume_wake of {} {}", table,
                                    install ? (changed ? "is installed" : "was there already")
                                            : (changed ? "is removed" : "was not there")));
    }
    return goes_on;
  }

  void look_for_index(pg::Session& session, const queue::Adopted& adopted) {
    using Kind = queue::IndexVerdict::Kind;
    const queue::IndexVerdict verdict = queue::judge_index(session, adopted);
    if (verdict.kind == Kind::serves) return;
    const bool none = verdict.kind == Kind::none;
    const std::string problem =
        none ? fmt::format("no index serves the poll of {}: each poll reads and sorts all of {}",
                           adopted.label(), fmt::join(verdict.unserved, ", "))
             : fmt::format("index {} puts the rows of {} in order, and holds the done ones, too",
                           fmt::join(verdict.indexes, ", "), adopted.label());
    std::string recipe;
    for (const auto& step : queue::advise_index(session, adopted).steps)
      recipe += fmt::format("{}\n  -- {}\n", step.sql, step.lock);
    if (none && given_.has("require-index")) throw Error(ExitCode::refused, problem, recipe);
    if (none && adopted.estimated_rows >= kSmallTable) {
      log::warn(problem, {{"table", adopted.label()}});
    } else {
      context_.progress.note(problem);
    }
    context_.progress.note("better, one statement at a time:");
    std::istringstream lines(recipe);
    for (std::string line; std::getline(lines, line);) context_.progress.note("  " + line);
  }

  work::HandlerFactory handlers(const queue::Adopted& adopted) const {
    if (const auto sql = given_.value("sql")) {
      return [text = read_sql_argument(*sql), timeout = timeout_.value_or(kSqlTimeout)] {
        return std::make_unique<work::SqlHandler>(
            work::SqlOptions{.sql = text, .relation = "weir_batch", .timeout = timeout});
      };
    }
    auto slots = std::make_shared<std::atomic<int>>(0);
    return [slots, words = given_.rest, table = adopted.label(), timeout = timeout_] {
      work::CommandOptions options;
      options.command.argv = words;
      options.queue = table;
      options.slot = (*slots)++;
      options.timeout = timeout;
      return std::make_unique<work::CommandHandler>(std::move(options));
    };
  }

  queue::AdoptConsumerOptions options() {
    queue::AdoptConsumerOptions options;
    options.workers = given_.number("workers", 1, 256).value_or(1);
    options.once = given_.has("once");
    options.poll = given_.duration("poll", 50ms, 24h).value_or(5s);
    options.drain = given_.duration("drain", 0s, 24h).value_or(30s);
    options.batch.rows = static_cast<std::size_t>(given_.number("batch", 1, 1'000'000).value_or(10'000));
    options.batch.transactional = given_.has("sql");
    options.batch.budget = given_.duration("budget", 1s, 24h).value_or(30s);
    options.retries.max_attempts = given_.number("max-attempts", 1, 1'000'000).value_or(5);
    options.on_progress = [this](const queue::AdoptFigures& figures) { show_progress(figures); };
    return options;
  }

  ExitCode consume(queue::Adopted adopted) {
    const std::string table = adopted.label();
    const bool keeps_errors = !adopted.failed.empty();
    const queue::AdoptConsumerOptions wanted = options();
    auto made = handlers(adopted);
    overprints_ = look_at_terminal(STDERR_FILENO, context_.global.color).overprint;
    if (context_.global.json)
      context_.out.json_line({{"event", "started"}, {"table", table}, {"workers", wanted.workers}});
    queue::AdoptConsumer consumer(connector_, std::move(adopted), std::move(made), wanted);
    const queue::AdoptFigures figures = consumer.run(context_.stop);
    context_.progress.clear();
    tell_end(table, figures, consumer.finished());
    if (!wanted.once) return ExitCode::ok;
    if (!consumer.finished()) return ExitCode::interrupted;
    if (figures.given_up == 0) return ExitCode::ok;
    throw Error(ExitCode::failed,
                fmt::format("{} row{} of {} failed and {} not done", figures.given_up,
                            figures.given_up == 1 ? "" : "s", table, figures.given_up == 1 ? "is" : "are"),
                keeps_errors
                    ? "Their errors are in the column of --failed: set it to null to have them tried again."
                    : "Their errors are in the log above. The next run tries them again.");
  }

  static ordered_json figures_json(const queue::AdoptFigures& figures) {
    const std::chrono::duration<double> seconds(figures.elapsed);
    return {{"done", figures.done},         {"batches", figures.batches}, {"failed_attempts", figures.failed},
            {"given_up", figures.given_up}, {"waiting", figures.waiting}, {"undone_batches", figures.undone},
            {"seconds", seconds.count()}};
  }

  static std::string figures_text(const queue::AdoptFigures& figures) {
    const std::chrono::duration<double> seconds(figures.elapsed);
    std::string text = fmt::format("{} rows done in {} batches, {} ({:.0f} rows/s)", figures.done,
                                   figures.batches, human_duration(figures.elapsed),
                                   static_cast<double>(figures.done) / std::max(seconds.count(), 1e-3));
    if (figures.failed > 0) text += fmt::format(", {} failed attempts", figures.failed);
    if (figures.given_up > 0) text += fmt::format(", {} rows given up", figures.given_up);
    if (figures.undone > 0) text += fmt::format(", {} batches undone and repeated", figures.undone);
    return text;
  }

  void show_progress(const queue::AdoptFigures& figures) {
    const SteadyTime now = std::chrono::steady_clock::now();
    if (!overprints_ && now < next_progress_) return;
    const bool first = next_progress_ == SteadyTime{};
    next_progress_ = now + kProgressEvery;
    if (first && !overprints_) return;
    if (context_.global.json) {
      ordered_json event{{"event", "progress"}};
      event.update(figures_json(figures));
      context_.out.json_line(event);
    } else {
      context_.progress.step(figures_text(figures));
    }
  }

  void tell_end(const std::string& table, const queue::AdoptFigures& figures, bool finished) {
    if (!context_.global.json) {
      context_.out.line(fmt::format("{}: {}", table, figures_text(figures)));
      return;
    }
    ordered_json event{{"event", "finished"}, {"table", table}, {"nothing_left", finished}};
    event.update(figures_json(figures));
    context_.out.json_line(event);
  }

  Context& context_;
  const Arguments& given_;
  std::optional<Duration> timeout_;
  std::shared_ptr<const pg::Connector> connector_;
  bool overprints_ = false;
  SteadyTime next_progress_{};
};

ExitCode run_consume(Context& context) { return Consuming(context).run(); }

}  // namespace

Command consume_command() {
  return {
      .path = "consume",
      .summary = "work through the rows of an existing table, with many workers and no row twice",
      .description =
          "Takes rows that are not done, in order, hands them to SQL or to a command, and marks them as "
          "done,\n"
          "all in one transaction. Any number of workers and processes may consume one table at once. What\n"
          "--sql does happens exactly once for each row; a command gets each row at least once, as NDJSON\n"
          "(docs/command-protocol.md). The table stays as it is; see docs/consume.md.",
      .options = {{"order-by", 0, "COLUMN,..", "in which order; 'COLUMN desc' for the other way round"},
                  {"done", 0, "COLUMN", "a boolean, or a date or time that is null until the row is done"},
                  {"done-value", 0, "VALUE",
                   "for a column of another type: what it holds when the row is done"},
                  {"set", 0, "COLUMN=SQL", "set as well when a row is done; may be repeated"},
                  {"where", 0, "SQL", "only these rows"},
                  {"columns", 0, "COLUMN,..", "what the handler gets (default: the whole row)"},
                  {"sql", 0, "FILE|TEXT",
                   "statements over the temporary table weir_batch, once for each batch"},
                  {"batch", 0, "N", "rows in one transaction (default: 10000)"},
                  {"workers", 'w', "N", "sessions at work at the same time (default: 1)"},
                  {"once", 0, "", "stop when nothing is left; exit code 0 means that all is done"},
                  {"max-attempts", 0, "N", "how often a failing row is tried by this process (default: 5)"},
                  {"failed", 0, "COLUMN", "a text column for the error of a row that is given up"},
                  {"poll", 0, "TIME", "the longest pause between two looks (default: 5s)"},
                  {"drain", 0, "TIME", "how long a stop waits for batches to finish (default: 30s)"},
                  {"budget", 0, "TIME", "warn about transactions that are longer (default: 30s)"},
                  {"timeout", 0, "TIME",
                   "of a command for one batch (default: none), or of one run of --sql (default: 10m)"},
                  {"require-index", 0, "", "refuse to start where no index serves the poll (exit code 5)"},
                  {"install-trigger", 0, "", "make the trigger that wakes idle consumers at once"},
                  {"remove-trigger", 0, "", "drop it again"}},
      .words = "TABLE",
      .rest = "COMMAND...",
      .examples = {{"weir consume events --order-by event_timestamp --done processed -w 4 -- ./handle",
                    "a command"},
                   {"weir consume events --order-by event_timestamp --done processed --once --sql "
                    "'insert into totals select payload from weir_batch'",
                    "SQL, exactly once"},
                   {"weir consume app.orders --order-by id --done done_at --failed error --sql orders.sql",
                    "done when done_at is set; errors are kept in the table"},
                   {"weir consume events --install-trigger",
                    "once; idle consumers then start within milliseconds"}},
      .run = run_consume};
}

}  // namespace weir::cli
