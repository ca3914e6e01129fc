#include <filesystem>
#include <optional>

#include <fmt/format.h>

#include "base/text.h"
#include "pg/transaction.h"
#include "pipeline/run/running_task.h"
#include "pipeline/task/http_probe.h"
#include "pipeline/task/template.h"
#include "schema/queries/tasks.h"

namespace weir::pipeline {
namespace {

constexpr auto kClocksMayStep = std::chrono::hours(24);

bool has_come(RunningTask& running, const WaitBody& body) {
  const auto bound = [&](TemplateUse use) {
    return bind_template(body.what, use, running.context, running.at.project, &running.log);
  };
  switch (body.kind) {
    case WaitBody::Kind::sql: {
      if (body.connection.empty()) return is_true(running, running.session, body.what);
      pg::Session other = connect_elsewhere(running, body.connection);
      return is_true(running, other, body.what);
    }
    case WaitBody::Kind::file: {
      std::error_code failure;
      return std::filesystem::exists(running.at.project / body.folder / bound(TemplateUse::argument),
                                     failure);
    }
    case WaitBody::Kind::http: return http_answers(bound(TemplateUse::value), running.stop);
    case WaitBody::Kind::pipeline: {
      const WallTime logical_at = running.attempt.logical_at;
      const auto rows =
          running.session.run<sql::PipelineHasSucceeded>(body.what, logical_at, logical_at - kClocksMayStep);
      return rows.one().has;
    }
  }
  return false;
}

}  // namespace

work::Outcome run_wait_body(RunningTask& running, const WaitBody& body) {
  if (has_come(running, body)) return work::Outcome::done();
  if (body.give_up) {
    const auto rows = running.session.run<sql::TaskWaits>(running.attempt.key.run, running.attempt.key.no,
                                                          running.attempt.key.item);
    if (std::chrono::milliseconds(rows.one().waits_ms) >= *body.give_up) {
      const std::string reason =
          fmt::format("{} has not come within {}", body.what, human_duration(*body.give_up));
      running.log.say(reason);
      if (!body.skip_when_given_up) return work::Outcome::discarded(reason);
      running.attempt.result.skipped = true;
      return work::Outcome::done();
    }
  }
  return work::Outcome::snoozed(body.every);
}

}  // namespace weir::pipeline
