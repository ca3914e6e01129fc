#include "pipeline/task/process_task.h"

#include <array>
#include <atomic>
#include <csignal>
#include <utility>

#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/text.h"
#include "exec/captured_text.h"
#include "exec/strays.h"
#include "pipeline/task/process_output.h"
#include "pipeline/task/template.h"
#include "pipeline/time/preview.h"
#include "work/command_environment.h"
#include "work/json_members.h"

namespace weir::pipeline {
namespace {

using exec::Conversation;

constexpr std::size_t kMostParameters = 1000;
constexpr const char* kMark = "WEIR_MARK";

// What libpq reads besides the secrets that work::hide_database takes out.
constexpr std::array kServerVariables{"PGHOST",    "PGHOSTADDR",          "PGPORT",    "PGDATABASE",
                                      "PGUSER",    "PGOPTIONS",           "PGAPPNAME", "PGREQUIREAUTH",
                                      "PGSSLMODE", "PGSSLCERT",           "PGSSLKEY",  "PGSSLROOTCERT",
                                      "PGSSLCRL",  "PGTARGETSESSIONATTRS"};

/// `WEIR_PARAM_DAY_OF` for "day-of": what a shell can read.
std::string variable_of(std::string_view parameter) {
  std::string name = "WEIR_PARAM_";
  for (const char c : parameter) {
    const bool lower = c >= 'a' && c <= 'z';
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    name += lower ? static_cast<char>(c - 32) : plain ? c : '_';
  }
  return name;
}

using Environment = std::map<std::string, std::optional<std::string>>;

void set_parameters(Environment& env, const std::string& params) {
  const auto members = work::split_object(params, kMostParameters);
  if (!members)
    throw Error(ExitCode::definition, "a run with more than 1000 parameters", "Pass a file instead.");
  for (const auto& member : *members) {
    // One that cannot be a variable is in WEIR_PARAMS.
    std::string text = text_of_json(member.value);
    if (member.value == "null" || text.find('\0') != std::string::npos) continue;
    env.insert_or_assign(variable_of(text_of_json(member.key)), std::move(text));
  }
}

/// The kernel would refuse the program and not say which of its words was too long.
void check_lengths(const exec::Command& command) {
  constexpr std::size_t kMost = std::size_t{128} * 1024;  // MAX_ARG_STRLEN, a zero byte included
  const auto refuse = [](const std::string& what, std::size_t size) {
    throw Error(ExitCode::failed,
                fmt::format("{} has {}: one word of a program's start holds {}", what, human_bytes(size),
                            human_bytes(kMost)),
                "Give it a key or a path, and let it read the rest.");
  };
  for (const auto& [name, value] : command.env)
    if (value && name.size() + 1 + value->size() >= kMost) refuse("the variable " + name, value->size());
  for (std::size_t i = 0; i < command.argv.size(); ++i)
    if (command.argv[i].size() >= kMost) refuse(fmt::format("argument {}", i), command.argv[i].size());
}

/// Of this program alone, on this machine.
std::string mark_of(const TaskContext& context) {
  static std::atomic<std::uint64_t> count{0};
  return fmt::format("{}.{}.{}.{}", context.run, context.attempt, ::getpid(), ++count);
}

std::string with_last_words(std::string reason, const std::string& words) {
  return words.empty() ? reason : fmt::format("{}; its standard error ends with:\n{}", reason, words);
}

/// The program while it runs.
class Running {
 public:
  Running(const ProcessTask& task, const exec::Command& command, LogSink& log)
      : task_(&task),
        program_(command, Conversation::Input::none),
        output_(log, task.longest_message, task.progress) {}

  /// How it came to its end; it has not been collected yet.
  ProcessResult::End wait(const std::stop_token& stop) {
    using End = ProcessResult::End;
    const Deadline deadline = task_->timeout ? Deadline::after(*task_->timeout) : Deadline::never();
    const WaitEnd end = pump(deadline, stop, task_->attend);
    if (end == WaitEnd::ready) return End::success;
    program_.signal_group(SIGTERM);
    if (pump(Deadline::after(task_->grace), {}, {}) != WaitEnd::ready) {
      program_.signal_group(SIGKILL);
      // No deadline: nothing in user space survives SIGKILL.
      pump(Deadline::never(), {}, {});
    }
    return end == WaitEnd::stopped ? End::stopped : End::timed_out;
  }

  /// Kills what is left, and reads what was written.
  int collect(bool everything, const std::string& mark, int& strays) {
    const int status = program_.end();
    drain();
    const bool held =
        program_.is_open(Conversation::Stream::out) || program_.is_open(Conversation::Stream::err);
    if (everything || held) {
      strays = exec::kill_strays(mark);
      drain();
    }
    output_.finish(Clock::system().wall());
    return status;
  }

  [[nodiscard]] ProcessOutput& output() noexcept { return output_; }
  [[nodiscard]] exec::Usage usage() const { return program_.usage().value_or(exec::Usage{}); }

 private:
  /// A bounded amount, so that endless output cannot postpone a stop.
  bool take() {
    std::array<char, 64 * 1024> room;
    bool any = false;
    for (int round = 0; round < 4; ++round) {
      const std::string_view out = program_.read(Conversation::Stream::out, room);
      if (!out.empty()) output_.take_out(out, Clock::system().wall());
      const bool more = !out.empty();
      const std::string_view err = program_.read(Conversation::Stream::err, room);
      if (!err.empty()) output_.take_err(err, Clock::system().wall());
      if (!more && err.empty()) break;
      any = true;
    }
    return any;
  }

  /// What the pipes hold: no more than that, for somebody may go on writing.
  void drain() {
    for (int round = 0; round < 8 && take(); ++round) continue;
  }

  WaitEnd pump(Deadline deadline, const std::stop_token& stop, const std::function<SteadyTime()>& attend) {
    for (;;) {
      take();
      if (program_.ended()) return WaitEnd::ready;
      const Deadline due = attend ? Deadline(attend()) : Deadline::never();
      const WaitEnd end = program_.wait(false, deadline.sooner(due), stop);
      if (end == WaitEnd::stopped || (end == WaitEnd::deadline && deadline.expired())) return end;
    }
  }

  const ProcessTask* task_;
  Conversation program_;
  ProcessOutput output_;
};

void judge_end(ProcessResult& result, const ProcessTask& task, int status, ProcessOutput& output) {
  using End = ProcessResult::End;
  if (WIFEXITED(status)) result.exit_status = WEXITSTATUS(status);
  const std::string how = exec::describe_status(status);
  if (result.end == End::timed_out) {
    result.reason = with_last_words(
        fmt::format("it did not end within {}: {}", human_duration(*task.timeout), how), output.last_words());
  } else if (result.end == End::stopped) {
    result.reason = "it was stopped: " + how;
  } else if (result.exit_status && result.exit_status == task.body->skip_exit_code) {
    result.end = End::skipped;
    result.reason = output.skipped().value_or(how);
  } else if (status != 0) {
    result.end = End::failed;
    result.reason = with_last_words(how, output.last_words());
  } else if (output.fault()) {
    result.end = End::failed;
    result.reason = *output.fault();
  } else if (output.skipped()) {
    result.end = End::skipped;
    result.reason = *output.skipped();
  }
}

}  // namespace

void hide_server(exec::Command& command) {
  work::hide_database(command);
  for (const char* const name : kServerVariables) command.env.emplace(name, std::nullopt);
}

exec::Command process_command(const ProcessTask& task) {
  const RunBody& body = *task.body;
  const TaskContext& context = *task.context;
  exec::Command command;
  // -e: a script that goes on after a failure and ends well is the one that loses data.
  if (!body.shell.empty()) command.argv = {"/bin/sh", "-e", "-c", body.shell};
  for (const std::string& argument : body.argv)
    command.argv.push_back(bind_template(argument, TemplateUse::argument, context, task.project));
  command.cwd = task.project / bind_template(body.folder, TemplateUse::argument, context, task.project);
  command.grace = task.grace;
  command.dies_with_thread = true;

  command.env = {{"WEIR_PIPELINE", context.pipeline},
                 {"WEIR_RUN", std::to_string(context.run)},
                 {"WEIR_TASK", context.task},
                 {"WEIR_ATTEMPT", std::to_string(context.attempt)},
                 {"WEIR_LOGICAL_TIME", utc_text(context.logical_time)},
                 {"WEIR_INTERVAL_START", utc_text(context.interval.from)},
                 {"WEIR_INTERVAL_END", utc_text(context.interval.to)},
                 {"WEIR_PARAMS", context.params},
                 {"WEIR_ITEM", context.item}};
  set_parameters(command.env, context.params);
  for (const auto& [name, value] : body.env)
    command.env.insert_or_assign(name, bind_template(value, TemplateUse::value, context, task.project));
  if (body.database && task.database_url) command.env.emplace("DATABASE_URL", *task.database_url);
  hide_server(command);
  return command;
}

ProcessResult run_process(const ProcessTask& task, LogSink& log, const std::stop_token& stop) {
  exec::Command command = process_command(task);
  const std::string mark = mark_of(*task.context);
  command.env.insert_or_assign(kMark, mark);
  check_lengths(command);
  ProcessResult result;
  if (stop.stop_requested()) {
    result.end = ProcessResult::End::stopped;
    result.reason = "it was stopped before it began";
    return result;
  }
  Running running(task, command, log);
  result.end = running.wait(stop);
  const bool by_force = result.end != ProcessResult::End::success;
  const int status = running.collect(by_force, fmt::format("{}={}", kMark, mark), result.strays);
  result.usage = running.usage();
  ProcessOutput& output = running.output();
  judge_end(result, task, status, output);
  if (result.end == ProcessResult::End::success) {
    result.output = output.value();
    result.branch = output.branch();
  }
  return result;
}

}  // namespace weir::pipeline
