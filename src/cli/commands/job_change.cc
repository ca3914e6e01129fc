#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/job_words.h"
#include "cli/open_database.h"
#include "queue/admin.h"

namespace weir::cli {
namespace {

using nlohmann::ordered_json;

struct Told {
  std::string_view word;  ///< for machines
  std::string_view text;
  bool good;
};

Told told(queue::Cancelled outcome) {
  using queue::Cancelled;
  switch (outcome) {
    case Cancelled::cancelled: return {"cancelled", "cancelled", true};
    case Cancelled::stopping: return {"stopping", "runs; its process was asked to stop it", true};
    case Cancelled::in_transaction:
      return {"in_transaction",
              "is in somebody's transaction, mostly of a worker in transactional mode, and cannot be stopped "
              "from here",
              false};
    case Cancelled::ended: return {"ended", "has ended already", false};
    case Cancelled::missing: break;
  }
  return {"missing", "is not there", false};
}

Told told(queue::Retried outcome) {
  using queue::Retried;
  switch (outcome) {
    case Retried::at_once: return {"retried", "waits now", true};
    case Retried::replayed: return {"replayed", "was dead, and starts again", true};
    case Retried::waiting: return {"waiting", "waits already", true};
    case Retried::running: return {"running", "runs already", true};
    case Retried::ended: return {"ended", "has ended already", false};
    case Retried::missing: break;
  }
  return {"missing", "is not there", false};
}

template <class Change>
ExitCode change_each(Context& context, std::string_view verb, Change change) {
  if (context.arguments.words.empty())
    throw Error(ExitCode::usage, "no job was named", fmt::format("Write: weir job {} ID...", verb));
  const auto ids = job_ids(context.arguments.words);
  pg::Session session = open_database(context, fmt::format("job-{}", verb));
  ordered_json lines = ordered_json::array();
  bool good = true;
  for (const std::int64_t id : ids) {
    const Told outcome = told(change(session, id));
    good = good && outcome.good;
    if (context.global.json) {
      lines.push_back({{"id", id_json(id)}, {"outcome", outcome.word}});
    } else {
      context.out.line(fmt::format("job {} {}", id, outcome.text));
    }
  }
  if (context.global.json) context.out.json({{"ok", good}, {"jobs", lines}});
  return good ? ExitCode::ok : ExitCode::failed;
}

ExitCode replay(Context& context) {
  const Arguments& given = context.arguments;
  check_choice(given, "which jobs?",
               "weir job replay ID.., weir job replay --queue QUEUE, or weir job replay --all");
  const auto ids = job_ids(given.words);
  pg::Session session = open_database(context, "job-replay");
  std::int64_t replayed = 0;
  if (!ids.empty()) {
    replayed = queue::replay_jobs(session, ids);
  } else {
    std::optional<std::int32_t> queue;
    if (const auto name = given.value("queue")) queue = queue::find_queue(session, *name);
    replayed = queue::replay_queue(session, queue, [&](std::int64_t so_far) {
      context.progress.step(fmt::format("{} replayed", jobs_text(so_far)));
    });
  }
  context.progress.clear();
  const std::int64_t missing = ids.empty() ? 0 : static_cast<std::int64_t>(ids.size()) - replayed;
  if (context.global.json) {
    context.out.json({{"replayed", replayed}, {"not_dead", missing}});
  } else {
    context.out.line(fmt::format("{} replayed", jobs_text(replayed)));
    if (missing > 0)
      context.progress.note(fmt::format("{} among them {} not dead", missing, missing == 1 ? "was" : "were"));
  }
  return missing > 0 ? ExitCode::failed : ExitCode::ok;
}

}  // namespace

Command job_cancel_command() {
  return {
      .path = "job cancel",
      .summary = "end jobs that wait, and ask those that run to stop",
      .description =
          "A handler that runs sees the request within seconds; one in transactional mode (worker --sql)\n"
          "cannot be stopped. Exit code 1 when one of the jobs is not there, has ended already, or cannot\n"
          "be stopped.",
      .words = "ID...",
      .examples = {{"weir job cancel 42 43", ""}},
      .run = [](Context& context) {
        return change_each(context, "cancel", [](pg::Session& session, std::int64_t id) {
          return queue::cancel_job(session, id);
        });
      }};
}

Command job_retry_command() {
  return {.path = "job retry",
          .summary = "make jobs run now that are due later, or start again that are dead",
          .description =
              "A job in backoff keeps its attempts; a dead one starts again from nothing. Exit code 1 when "
              "one of\n"
              "the jobs is not there or has ended already.",
          .words = "ID...",
          .examples = {{"weir job retry 42", ""}},
          .run = [](Context& context) {
            return change_each(context, "retry", [](pg::Session& session, std::int64_t id) {
              return queue::retry_job(session, id);
            });
          }};
}

Command job_replay_command() {
  return {
      .path = "job replay",
      .summary = "start dead letters again: some, those of a queue, or all",
      .description =
          "They wait again with no attempt counted, under the id that they had. Exit code 1 when one of the\n"
          "ids is not a dead letter.",
      .options = {{"queue", 0, "QUEUE", "all dead letters of this queue"}, {"all", 0, "", "all there are"}},
      .words = "[ID...]",
      .examples = {{"weir job replay 42 43", ""},
                   {"weir job replay --queue mail", "once its handler is mended"}},
      .run = replay};
}

}  // namespace weir::cli
