#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/job_words.h"
#include "cli/open_database.h"
#include "cli/queue_table.h"
#include "queue/figures.h"

namespace weir::cli {
namespace {

ExitCode run_job_stats(Context& context) {
  pg::Session session = open_database(context, "job-stats");
  const auto queues = queue::queue_figures(session, context.arguments.words);
  if (context.global.json) {
    context.out.json({{"queues", queues_json(queues)}});
  } else if (queues.empty()) {
    context.progress.note("there are no queues yet");
  } else {
    context.out.write(queues_text(queues, context.out.paint()));
  }
  return ExitCode::ok;
}

}  // namespace

Command job_stats_command() {
  return {
      .path = "job stats",
      .summary = "show how many jobs each queue has, and how fast they are done",
      .description =
          "Counts end at 10,000 and then say '>10,000'. done counts since the queue was made, as the\n"
          "workers report it every few seconds: what one that was killed had not reported yet is missing\n"
          "(weir job list --state done has it, where the queue keeps what is done). The rates are what they "
          "reported in the last ten seconds;\n"
          "oldest is the age of the oldest job that waits; of 1,000 dead letters and more the age of the\n"
          "oldest is beside their number. A job of transactional mode (weir worker --sql)\n"
          "is seen as waiting until it is done.",
      .words = "[QUEUE...]",
      .examples = {{"weir job stats", "all queues"},
                   {"weir job stats mail --json", "one document: queues[]"}},
      .run = run_job_stats};
}

}  // namespace weir::cli
