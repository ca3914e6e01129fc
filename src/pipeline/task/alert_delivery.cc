#include "pipeline/task/alert_delivery.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"
#include "exec/child.h"
#include "pg/conninfo.h"
#include "pipeline/task/http_probe.h"
#include "pipeline/task/process_task.h"
#include "pipeline/task/template.h"
#include "work/stderr_relay.h"

namespace weir::pipeline {
namespace {

constexpr std::size_t kAlertTail = 1000;

std::string run_program(const Alert& alert, const AlertMessage& message, const std::filesystem::path& project,
                        Duration limit) {
  exec::Command command;
  command.argv = alert.run;
  command.cwd = project / alert.folder;
  command.env = {{"WEIR_EVENT", message.event},
                 {"WEIR_PIPELINE", message.pipeline},
                 {"WEIR_RUN", std::to_string(message.run)}};
  command.input = message.document + "\n";
  command.keep_head = 0;
  command.keep_tail = kAlertTail;
  command.dies_with_thread = true;
  hide_server(command);
  const exec::Outcome outcome = exec::run_command(command, Deadline::after(limit), {});
  if (outcome.ok()) return {};
  if (outcome.cause == exec::Outcome::Cause::deadline)
    return fmt::format("it took longer than {}", human_duration(limit));
  const std::string words = work::printable_lines(trim(outcome.err));
  return outcome.describe() + (words.empty() ? "" : ": " + words);
}

}  // namespace

std::string deliver_alert(const Alert& alert, const AlertMessage& message,
                          const std::filesystem::path& project, Duration limit) {
  try {
    if (!alert.run.empty()) return run_program(alert, message, project, limit);
    const TaskContext context{.pipeline = message.pipeline, .run = message.run};
    return http_post(bind_template(alert.to, TemplateUse::value, context, project), message.document, limit,
                     {});
  } catch (const std::exception& error) {
    return error.what();
  }
}

std::string alert_target(const Alert& alert) {
  if (!alert.run.empty()) return printable(alert.run.front());
  if (alert.to.find("${") != std::string::npos) return printable(pg::redact_password(alert.to));
  const std::size_t host = alert.to.find("://") + 3;
  const std::size_t end = std::min(alert.to.find_first_of("/?#", host), alert.to.size());
  const std::size_t at = std::min(alert.to.rfind('@', end), end);
  const std::size_t begin = at < end && at >= host ? at + 1 : host;
  return printable(alert.to.substr(0, host) + alert.to.substr(begin, end - begin));
}

}  // namespace weir::pipeline
