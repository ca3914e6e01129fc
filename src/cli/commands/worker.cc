#include "queue/worker.h"

#include <memory>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/database.h"
#include "cli/job_words.h"
#include "cli/program_argument.h"
#include "cli/project/pipeline_worker.h"
#include "cli/project/project.h"
#include "cli/queue_table.h"
#include "cli/sql_argument.h"
#include "queue/progress_reports.h"
#include "queue/queue_config.h"
#include "schema/schema_check.h"
#include "work/command_handler.h"
#include "work/sql_handler.h"

namespace weir::cli {
namespace {

using nlohmann::ordered_json;
using namespace std::chrono_literals;

constexpr int kMostSlots = 1000;
constexpr int kMostInBatch = 100'000;
/// Between two figures: on a terminal one line that changes, elsewhere a line each.
constexpr Duration kRedrawEvery = 500ms;
constexpr Duration kLineEvery = 10s;

class Working {
 public:
  explicit Working(Context& context) : context_(context), given_(context.arguments) {
    is_sql_ = given_.has("sql");
    if (is_sql_ == !given_.rest.empty()) {
      throw Error(ExitCode::usage,
                  is_sql_ ? "--sql and a command exclude one another" : "what is to be done with the jobs?",
                  "Write: weir worker --queue QUEUE -- COMMAND.., or weir worker --queue QUEUE --sql 'SQL'");
    }
    options_.queues = given_.values("queue");
    for (const std::string& name : options_.queues) queue::check_queue_name(name);
    options_.slots = static_cast<std::size_t>(given_.number("slots", 1, kMostSlots).value_or(4));
    options_.most_in_batch = static_cast<std::size_t>(given_.number("batch", 1, kMostInBatch).value_or(1000));
    options_.drain = given_.duration("drain", 0s, 24h).value_or(30s);
    options_.lease = given_.duration("lease", 1s, 1h).value_or(15s);
    options_.once = given_.has("once");
    options_.delivery = is_sql_ ? queue::Delivery::transactional : queue::Delivery::leased;
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
    if (!is_sql_) {
      reports_.emplace(std::make_shared<const pg::Connector>(connector_->unprepared()));
      reports_->start();
    }
    worker_.emplace(connector_, factory(), options_);
    worker_->start();
    began_ = last_ = std::chrono::steady_clock::now();
    tell_started();
    const bool finished = watch();
    if (!finished) tell_draining();
    worker_->stop();
    if (reports_) reports_->stop();
    tell_end(finished);
    if (options_.once && !finished) return ExitCode::interrupted;
    return options_.once && worker_->stats().dead > 0 ? ExitCode::failed : ExitCode::ok;
  }

 private:
  void connect() {
    const pg::Conninfo conninfo = running_database(context_.global, choose_database(context_.global));
    pg::Connector::Options options;
    // With it the look at the SQL below, too, which is run once without a job.
    if (is_sql_) options_.patience = options.session.timeout = timeout_.value_or(kSqlTimeout) + kAnswer;
    connector_ = std::make_shared<const pg::Connector>(conninfo, options);
    pg::Session session = connector_->unprepared().connect(pg::Role::api, "worker", {.stop = context_.stop});
    session.set_stop(context_.stop);
    schema::require_schema(session);
    if (!is_sql_) return;
    // The user's SQL finds names where the user's psql does.
    options.users_search_path = true;
    pg::Session users = pg::Connector(conninfo, options)
                            .unprepared()
                            .connect(pg::Role::api, "worker", {.stop = context_.stop});
    search_path_ = users.execute("SELECT pg_catalog.current_setting('search_path')")[0].get<std::string>(0);
    work::SqlHandler(sql_options()).check(session);
  }

  [[nodiscard]] work::SqlOptions sql_options() const {
    return {.sql = sql_,
            .relation = "weir_job",
            .search_path = search_path_,
            .timeout = timeout_.value_or(kSqlTimeout)};
  }

  work::HandlerFactory factory() {
    if (is_sql_) return [options = sql_options()] { return std::make_unique<work::SqlHandler>(options); };
    work::CommandOptions options;
    options.command.argv = given_.rest;
    options.queue = fmt::format("{}", fmt::join(options_.queues, ","));
    options.timeout = timeout_;
    options.progress = &*reports_;
    return [options, slot = 0]() mutable {
      options.slot = slot++;
      return std::make_unique<work::CommandHandler>(options);
    };
  }

  /// True when nothing is left.
  bool watch() {
    const Duration every = context_.progress.overprints() ? kRedrawEvery : kLineEvery;
    for (;;) {
      if (worker_->wait_until_finished(context_.stop, Deadline::after(every))) return true;
      if (context_.stop.stop_requested()) return false;
      tell_progress();
    }
  }

  void tell_started() const {
    const std::string queues =
        options_.queues.empty() ? "all queues" : fmt::format("{}", fmt::join(options_.queues, ", "));
    if (context_.global.json) {
      context_.out.json_line({{"event", "started"},
                              {"queues", options_.queues},
                              {"slots", options_.slots},
                              {"delivery", is_sql_ ? "transactional" : "leased"}});
    }
    context_.progress.note(fmt::format("working on {} with {} slots ({}); Ctrl-C ends it", queues,
                                       options_.slots, is_sql_ ? "transactional" : "leased"));
  }

  void tell_progress() {
    const queue::Worker::Stats now = worker_->stats();
    const SteadyTime time = std::chrono::steady_clock::now();
    const double rate =
        static_cast<double>(now.done - last_done_) / std::max(0.001, to_seconds(time - last_));
    const bool news = now.done != last_done_ || now.failed != last_failed_;
    last_ = time;
    last_done_ = now.done;
    last_failed_ = now.failed;
    if (context_.global.json) {
      if (news) context_.out.json_line(with("progress", now, rate));
      return;
    }
    if (!news && !context_.progress.overprints()) return;
    const std::string speed = rate_text(rate);
    context_.progress.step(fmt::format("{}  done {}  failed {}  in flight {}",
                                       speed.empty() ? "waiting" : speed, human_count(now.done),
                                       human_count(now.failed), now.in_flight));
  }

  void tell_draining() {
    const std::size_t open = worker_->stats().in_flight;
    if (context_.global.json) {
      context_.out.json_line(
          {{"event", "draining"}, {"in_flight", is_sql_ ? ordered_json() : ordered_json(open)}});
    }
    context_.progress.note(fmt::format(
        "stopping: {}; what runs has {} to end, the rest is handed back; once more ends it at once",
        is_sql_ ? "open transactions are waited for"
                : fmt::format("{} open", jobs_text(static_cast<std::int64_t>(open))),
        human_duration(options_.drain)));
  }

  void tell_end(bool finished) {
    const queue::Worker::Stats end = worker_->stats();
    const Duration span = std::chrono::steady_clock::now() - began_;
    const double rate = static_cast<double>(end.done) / std::max(0.001, to_seconds(span));
    context_.progress.clear();
    if (context_.global.json) {
      ordered_json event = with("stopped", end, rate);
      event["finished"] = finished;
      event["seconds"] = to_seconds(span);
      context_.out.json_line(event);
      return;
    }
    const std::string speed = rate_text(rate);
    context_.out.line(fmt::format("{} done, {} failed, {} dead, in {}{}", human_count(end.done),
                                  human_count(end.failed), human_count(end.dead), human_duration(span),
                                  speed.empty() ? "" : " (" + speed + ")"));
    if (end.dead > 0) context_.progress.note("what was given up: weir job dead");
  }

  static ordered_json with(std::string_view event, const queue::Worker::Stats& stats, double rate) {
    return {{"event", event},     {"done", stats.done},           {"failed", stats.failed},
            {"dead", stats.dead}, {"in_flight", stats.in_flight}, {"per_second", rate}};
  }

  Context& context_;
  const Arguments& given_;
  bool is_sql_ = false;
  std::string sql_;
  std::string search_path_;
  std::optional<Duration> timeout_;
  queue::WorkerOptions options_;
  std::shared_ptr<const pg::Connector> connector_;
  std::optional<queue::ProgressReports> reports_;  // the handlers' of worker_, so it outlives that
  std::optional<queue::Worker> worker_;
  SteadyTime began_{};
  SteadyTime last_{};
  std::int64_t last_done_ = 0;
  std::int64_t last_failed_ = 0;
};

/// Without any word about jobs, in a project's folder, it is the pipelines that want a worker.
bool means_pipelines(const Context& context) {
  const Arguments& given = context.arguments;
  return !given.has("queue") && !given.has("sql") && given.rest.empty() && is_project(context.global.project);
}

ExitCode run_worker(Context& context) {
  return means_pipelines(context) ? work_on_pipelines(context) : Working(context).run();
}

}  // namespace

Command worker_command() {
  return {
      .path = "worker",
      .summary = "work on jobs, or on the project's pipelines, until Ctrl-C",
      .description =
          "A command is started once for each slot and gets jobs as lines of JSON "
          "(docs/command-protocol.md):\n"
          "every job is done at least once. With --sql the statements run in the transaction that ends "
          "the jobs:\n"
          "their effects happen exactly once. They find a batch of jobs in the relation weir_job (id, "
          "queue, kind,\n"
          "payload, attempt, max_attempts, error, created_at, deadline).\n"
          "\n"
          "Without --queue, --sql and COMMAND, in a project's folder, it works on the tasks of "
          "pipelines, as weir up does:\n"
          "any number of workers on any number of hosts share them.\n"
          "\n"
          "Ctrl-C or SIGTERM drains: no job is begun any more, those that run end or are handed back. "
          "Once more\n"
          "ends it at once. Exit code 0; with --once 0 when all was done, 1 when jobs went to the dead "
          "letters,\n"
          "130 when it was interrupted.",
      .options = {{"queue", 0, "QUEUE", "a queue to work on; may be given several times (default: all)"},
                  {"slots", 0, "N", "handlers that run at a time (default: 4)"},
                  {"batch", 0, "N", "jobs that a handler gets at once, at most (default: 1000)"},
                  {"sql", 0, "FILE|TEXT", "SQL that does the work of a batch, in its transaction"},
                  {"once", 0, "", "end when nothing is left to do"},
                  {"drain", 0, "TIME", "how long to wait for what runs, at the end (default: 30s)"},
                  {"lease", 0, "TIME",
                   "how long others wait before they take over from a dead worker (default: 15s)"},
                  {"timeout", 0, "TIME",
                   "the longest that a batch may take, or one run of --sql (default: none; with --sql 10m)"}},
      .rest = "COMMAND [ARGUMENT]...",
      .examples = {{"weir worker --queue mail -- ./send-mail",
                    "one process of send-mail for each of 4 slots"},
                   {"weir worker --queue q --sql 'INSERT INTO t SELECT payload FROM weir_job'",
                    "exactly once"},
                   {"weir worker --once --json -- ./work",
                    "events as JSON lines: started, progress, draining, stopped"}},
      .run = run_worker};
}

}  // namespace weir::cli
