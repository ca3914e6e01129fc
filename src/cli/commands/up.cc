#include <memory>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/backoff.h"
#include "base/log.h"
#include "base/wait.h"
#include "cli/commands.h"
#include "cli/database_status.h"
#include "cli/migrating.h"
#include "cli/project/deploying.h"
#include "cli/project/pipeline_worker.h"
#include "cli/project/project.h"
#include "cli/starting.h"
#include "pg/pinned_session.h"
#include "schema/schema_check.h"

namespace weir::cli {
namespace {

/// Between two looks at the socket of the session; a look costs one system call here and nothing there.
constexpr Duration kLookEvery = std::chrono::milliseconds(500);
constexpr BackoffPolicy kRecovery{.base = std::chrono::milliseconds(250), .cap = std::chrono::seconds(10)};

/// A server that crashed leaves its postmaster.pid behind; one that was told to stop removes it.
bool was_told_to_stop(const embedded::ServerStatus& status) {
  std::error_code failure;
  return status.state == embedded::ServerState::stopped &&
         !std::filesystem::exists(status.data / "postmaster.pid", failure);
}

/// Holds a database up: from its start, over its failures, to its orderly end.
class Keeper {
 public:
  Keeper(Context& context, DatabaseChoice choice)
      : context_(context), choice_(std::move(choice)), server_(make_server()) {
    const auto& words = context.arguments.words;
    if (words.size() > 1) throw Error(ExitCode::usage, "up takes one folder", "See: weir help up");
    folder_ = words.empty() ? context.global.project : std::filesystem::path(words.front());
    // Before anything is started.
    if (!words.empty() || is_project(folder_)) project_ = load_project(context, folder_);
  }

  void start() {
    if (server_) announce_start(context_, server_->status());
    connect();
    if (use_) show_notices(context_, use_->status());
    const schema::MigrationReport report = migrate_database(context_, connector_for(conninfo_));
    context_.progress.clear();
    if (project_) start_pipelines();
    tell_ready(report.notices);
  }

  void run() {
    Wakeup wakeup;
    while (wait_fd(-1, 0, Deadline::after(kLookEvery), context_.stop, wakeup) != WaitEnd::stopped) {
      if (session_->check()) continue;
      log::warn("the connection to the database was lost", {{"url", conninfo_.display()}});
      tell({{"event", "lost"}});
      if (!recover()) return;
      log::info("the database is back", {{"url", conninfo_.display()}});
      tell({{"event", "recovered"}, {"url", conninfo_.display()}});
    }
  }

  void end() {
    if (worker_) {
      context_.progress.step("waiting for tasks that run");
      worker_->stop();
      context_.progress.clear();
    }
    session_.reset();
    if (!use_) {
      tell({{"event", "stopped"}});
      return;
    }
    context_.progress.step("stopping");
    use_->release(Deadline::after(kStopSpan));
    context_.progress.clear();
    const embedded::ServerStatus left = server_->status();
    tell({{"event", "stopped"}, {"server", name_of(left.state)}});
    if (left.state != embedded::ServerState::running) return;
    context_.progress.note(left.kept ? "the private PostgreSQL goes on: it was started with weir db start"
                                     : "the private PostgreSQL goes on: another weir up uses it");
  }

 private:
  std::optional<embedded::PrivateServer> make_server() const {
    if (!choice_.is_private()) return std::nullopt;
    return private_server(context_.global);
  }

  /// Also makes sure that the private server runs.
  void connect() {
    if (server_) {
      // The new hold is there before the old one is let go, which so is not the last.
      auto use =
          std::make_unique<embedded::ServerUse>(server_->use(Deadline::after(kStartSpan), context_.stop));
      use_ = std::move(use);
      conninfo_ = pg::Conninfo::parse(use_->status().url);
    } else {
      conninfo_ = *choice_.given;
      context_.progress.step(fmt::format("connecting to {} ({})", conninfo_.display(), choice_.source));
    }
    session_.emplace(
        pg::PinnedSession::open(connector_for(conninfo_), pg::Role::api, "up", {.stop = context_.stop}));
  }

  void start_pipelines() {
    const pipeline::DeployReport deployed = deploy_project(context_, conninfo_, *project_);
    worker_ = make_pipeline_worker(context_, conninfo_, *project_, folder_);
    worker_->start();
    tell({{"event", "deployed"}, {"project", project_->name}, {"pipelines", deployed.pipelines.size()}});
    if (!speaks_json()) show_deployment(context_, deployed, true);
  }

  /// Tries until it succeeds. False when stop was requested meanwhile.
  bool recover() {
    Wakeup wakeup;
    for (int attempt = 1;; ++attempt) {
      // Looked at once: what goes from one state to the next between two looks is in neither.
      const auto status = server_ ? std::optional(server_->status()) : std::nullopt;
      if (status && was_told_to_stop(*status)) {
        throw Error(ExitCode::database, "the private PostgreSQL was stopped by somebody else",
                    "Start it again with: weir up");
      }
      const bool changing = status && status->state == embedded::ServerState::starting;
      try {
        // While it shuts down nobody knows yet whether it was told to.
        if (!changing) {
          connect();
          session_->use([](pg::Session& session) { schema::require_schema(session); });
          return true;
        }
      } catch (const Error& error) {
        if (error.exit_code() == ExitCode::interrupted) return false;
        if (error.exit_code() == ExitCode::refused) throw;  // no waiting makes a newer schema older
        log::warn("the database is not back yet", {{"reason", error.what()}, {"attempt", attempt}});
      }
      const Duration pause = backoff_delay(kRecovery, attempt, random_unit());
      if (wait_fd(-1, 0, Deadline::after(pause), context_.stop, wakeup) == WaitEnd::stopped) return false;
    }
  }

  [[nodiscard]] bool speaks_json() const {
    return context_.global.json || context_.global.log_format == log::Format::json;
  }

  void tell(const nlohmann::ordered_json& event) const {
    if (speaks_json()) context_.out.json_line(event);
  }

  void tell_ready(const std::vector<std::string>& notices) const {
    const std::string url = conninfo_.display();
    tell({{"event", "ready"}, {"url", url}, {"source", choice_.source}, {"notices", notices}});
    if (!speaks_json()) context_.out.line(fmt::format("weir: ready; connect with: {}", psql_command(url)));
    context_.progress.note("Ctrl-C ends it");
  }

  Context& context_;
  DatabaseChoice choice_;
  std::optional<embedded::PrivateServer> server_;
  std::unique_ptr<embedded::ServerUse> use_;
  pg::Conninfo conninfo_;
  std::optional<pg::PinnedSession> session_;
  std::filesystem::path folder_;
  std::optional<pipeline::ProjectDefinition> project_;
  std::unique_ptr<pipeline::Worker> worker_;
};

ExitCode run_up(Context& context) {
  Keeper keeper(context, choose_database(context.global));
  keeper.start();
  keeper.run();
  keeper.end();
  return ExitCode::ok;
}

}  // namespace

Command up_command() {
  return {
      .path = "up",
      .summary = "start everything for this project and run until Ctrl-C",
      .description =
          "Starts the project's private PostgreSQL, or takes the one that runs, or uses DATABASE_URL; brings "
          "the\n"
          "schema up to date; prints a line that begins with 'weir: ready' on standard output; and runs "
          "until\n"
          "Ctrl-C or SIGTERM, which is its normal end (exit code 0; 130 when it was not ready yet). The "
          "last\n"
          "weir up of a project stops the private server, unless weir db start started it. A database that\n"
          "crashes is brought back, or connected to again.\n"
          "\n"
          "In a project's folder (weir.yml) it deploys the pipelines, makes their runs when they are due and "
          "works on "
          "them.\n"
          "Several weir up on one database share the work, and each takes over from one that dies. With DIR "
          "the\n"
          "pipelines are those of another folder.",
      .options = {{"slots", 0, "N", "tasks that run at a time here (default: 8)"},
                  {"drain", 0, "TIME", "how long to wait for tasks that run, at the end (default: 30s)"},
                  {"lease", 0, "TIME",
                   "how long others wait before they take over from a dead one (default: 15s)"}},
      .words = "[DIR]",
      .examples = {{"weir up", "this project, with a private PostgreSQL"},
                   {"weir up examples/rates", "the pipelines of that folder, with the database of this one"},
                   {"weir up --json", "events as JSON lines: ready, lost, recovered, stopped"},
                   {"DATABASE_URL=postgresql://.. weir up", "with a server of your own"}},
      .run = run_up};
}

}  // namespace weir::cli
