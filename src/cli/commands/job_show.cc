#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/job_words.h"
#include "cli/json_piece.h"
#include "cli/open_database.h"
#include "cli/term/table.h"
#include "queue/job_view.h"

namespace weir::cli {
namespace {

using nlohmann::ordered_json;
using queue::JobView;

/// As a piece of the document, not as a text in it.
ordered_json raw(const std::optional<std::string>& json) { return json ? json_piece(*json) : ordered_json(); }

/// What JobView::at is of a job in its state.
std::string_view name_of_at(const JobView& job) {
  if (job.state == "later") return "due";
  return job.state == "dead" ? "died" : "ended";
}

ordered_json to_json(const JobView& job) {
  return {{"id", id_json(job.id)},
          {"queue", job.queue},
          {"state", job.state},
          {"reason", job.reason.empty() ? ordered_json() : ordered_json(job.reason)},
          {"kind", job.kind},
          {"priority", or_null(job.priority)},
          {"attempt", job.attempt},
          {"max_attempts", or_null(job.max_attempts)},
          {"created_at", time_json(job.created_at)},
          {"started_at", time_json(job.started_at)},
          {"at", time_json(job.at)},
          {"deadline", time_json(job.deadline)},
          {"unique_key", or_null(job.unique_key)},
          {"limit_key", or_null(job.limit_key)},
          {"worker", or_null(job.worker)},
          {"worker_name", or_null(job.worker_name)},
          {"cancel_requested", job.stopping},
          {"progress", or_null(job.progress)},
          {"note", or_null(job.note)},
          {"error", or_null(job.error)},
          {"payload", raw(job.payload)},
          {"result", raw(job.result)}};
}

std::string to_text(const JobView& job, const Paint& paint) {
  Table table({{""}, {""}});
  const auto add = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) table.add({Table::Cell(std::string(name), Color::dim), value});
  };
  add("job", std::to_string(job.id));
  add("queue", job.queue);
  add("state", job.reason.empty() ? job.state : fmt::format("{}: {}", job.state, job.reason));
  add("kind", job.kind);
  if (job.priority) add("priority", std::to_string(*job.priority));
  add("attempt", job.max_attempts ? fmt::format("{} of {}", job.attempt, *job.max_attempts)
                                  : std::to_string(job.attempt));
  add("created", time_text(job.created_at));
  if (job.started_at) add("started", time_text(*job.started_at));
  if (job.at) add(name_of_at(job), time_text(*job.at));
  if (job.deadline) add("deadline", time_text(*job.deadline));
  add("unique key", job.unique_key.value_or(""));
  add("limit key", job.limit_key.value_or(""));
  if (job.worker) add("worker", fmt::format("{} {}", *job.worker, job.worker_name.value_or("(gone)")));
  if (job.progress) add("progress", fmt::format("{:.0f} %", *job.progress * 100));
  add("note", job.note.value_or(""));
  std::string text = table.render(paint);
  // These have lines of their own.
  const auto block = [&](std::string_view name, const std::optional<std::string>& value) {
    if (!value) return;
    text += paint(Color::dim, name) + "\n";
    for (std::string_view rest = *value; !rest.empty();) {
      const std::size_t end = std::min(rest.find('\n'), rest.size());
      text += "  " + printable(rest.substr(0, end)) + "\n";
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  };
  block("payload", job.payload);
  block("result", job.result);
  block("error", job.error);
  return text;
}

ExitCode run_job_show(Context& context) {
  if (context.arguments.words.size() != 1)
    throw Error(ExitCode::usage, "which job?", "Write: weir job show ID");
  const std::int64_t id = job_ids(context.arguments.words).front();
  pg::Session session = open_database(context, "job-show");
  const auto job = queue::view_job(session, id);
  if (!job) {
    throw Error(ExitCode::failed, fmt::format("there is no job {}", id),
                "It never was, or it is done and its queue keeps no history (weir queue set QUEUE keep=7).");
  }
  if (context.global.json) {
    context.out.json(to_json(*job));
  } else {
    context.out.write(to_text(*job, context.out.paint()));
  }
  return ExitCode::ok;
}

}  // namespace

Command job_show_command() {
  return {.path = "job show",
          .summary = "show all about a job: where it is, why it waits, payload, error, result",
          .description = "Looks wherever a job can be. Exit code 1 when there is none of that id.",
          .words = "ID",
          .examples = {{"weir job show 42", ""}, {"weir job show 42 --json", "one document"}},
          .run = run_job_show};
}

}  // namespace weir::cli
