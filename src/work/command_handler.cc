#include "work/command_handler.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"
#include "base/wait.h"
#include "exec/conversation.h"
#include "work/command_environment.h"
#include "work/command_protocol.h"
#include "work/line_buffer.h"
#include "work/stderr_relay.h"

namespace weir::work {
namespace {

using exec::Conversation;

/// A program that may still want to say goodbye: it saw the end of its input, or it closed its output.
constexpr Duration kFarewell = std::chrono::seconds(1);

SteadyTime now() { return std::chrono::steady_clock::now(); }

exec::Command prepared(const CommandOptions& options) {
  exec::Command command = options.command;
  command.dies_with_thread = true;
  // emplace: what the caller sets stands
  hide_database(command);
  command.env.emplace("WEIR_QUEUE", options.queue);
  command.env.emplace("WEIR_SLOT", std::to_string(options.slot));
  command.env.emplace("WEIR_PROTOCOL", "1");
  return command;
}

std::string excerpt(std::string_view line) { return elide(printable(trim(line).substr(0, 200)), 80); }

}  // namespace

struct CommandHandler::Process {
  explicit Process(const CommandOptions& options)
      : program(options.command),
        lines(options.longest_line),
        relay([name = options.command.argv.front(), slot = options.slot, this](std::string_view line) {
          log::info(line, {{"command", name}, {"pid", program.pid()}, {"slot", slot}});
        }) {}

  /// Appends a bounded amount of output to the lines; false when nothing is there.
  bool read_output() {
    std::array<char, 64 * 1024> room;
    const std::string_view got = program.read(Conversation::Stream::out, room);
    lines.append(got);
    return !got.empty();
  }

  Conversation program;
  LineBuffer lines;
  StderrRelay relay;
  bool used = false;  // had a batch
};

Duration CommandHandler::farewell() const { return std::min(kFarewell, options_.command.grace); }

CommandHandler::CommandHandler(CommandOptions options) : options_(std::move(options)) {
  options_.command = prepared(options_);
}

CommandHandler::~CommandHandler() {
  if (!process_) return;
  try {
    process_->program.close_input();
    if (!leave_time_to_end(Deadline::after(farewell()), nullptr, true)) {
      end_by_force(nullptr, true);
    }
  } catch (const std::exception& error) {
    log::warn("a command was killed, because it could not be ended in order", {{"error", error.what()}});
  }
}

void CommandHandler::run(Batch& batch) {
  for (std::size_t i = 0; i < batch.items().size(); ++i) {
    if (auto fault = find_payload_fault(batch.items()[i].payload)) {
      batch.settle(i, Outcome::discarded(std::move(*fault)));
    }
  }
  while (batch.open() > 0 && get_ready(batch.stop())) {
    const auto reason = talk(batch);
    if (!reason) return;
    // One that does one batch in its life may be on its way out when the next one comes.
    if (had_left_) continue;
    batch.settle_rest(Outcome::failed(*reason));
  }
}

/// False when it was stopped before there was a process.
bool CommandHandler::get_ready(const std::stop_token& stop) {
  if (process_) {
    take_errors(*process_);
    bool silent = true;
    for (int round = 0; round < 4 && process_->read_output(); ++round) {
      while (const auto line = process_->lines.next()) silent = silent && trim(*line).empty();
    }
    silent = silent && trim(process_->lines.take_rest()).empty();
    if (silent && !process_->program.ended() && process_->program.is_open(Conversation::Stream::out)) {
      return true;
    }
    const std::string end = silent ? collect_end(nullptr, true) : end_by_force(nullptr, true);
    // A program may well do one batch in its life.
    const auto tell = silent && exited_well_ ? &log::debug : &log::warn;
    tell(silent ? "a command ended between two batches and is started again"
                : "a command wrote to its standard output between two batches and is started again",
         {{"command", options_.command.argv.front()}, {"end", end}});
  }
  if (useless_starts_ > 0) {
    Wakeup wakeup;
    const Deadline later = Deadline::after(backoff_delay(options_.restart, useless_starts_, random_unit()));
    if (wait_fd(-1, 0, later, stop, wakeup) == WaitEnd::stopped) return false;
  }
  ++useless_starts_;
  process_ = std::make_unique<Process>(options_);
  return true;
}

/// Why the items that are still open failed. Nothing when there are none, or after a stop.
std::optional<std::string> CommandHandler::talk(Batch& batch) {
  Process& process = *process_;
  BatchText text(batch, ++batches_);
  Answers answers(batch, options_.progress);
  Deadline deadline = options_.timeout ? Deadline::after(*options_.timeout) : Deadline::never();
  bool input_lost = false;
  const bool used = std::exchange(process.used, true);
  const std::size_t open_before = batch.open();
  had_left_ = false;
  for (;;) {
    take_errors(process);
    try {
      take_output(process, answers, text.done());
    } catch (const AnswerError& error) {
      return fmt::format("{}. Answers alone belong on standard output, all else on standard error ({})",
                         error.what(), end_by_force(nullptr, true));
    }
    if (batch.open() == 0 && text.done()) break;
    if (process.program.ended() || !process.program.is_open(Conversation::Stream::out)) {
      const bool ended = leave_time_to_end(Deadline::after(farewell()), &answers, text.done());
      std::string end = ended ? collect_end(&answers, text.done()) : end_by_force(&answers, text.done());
      if (batch.open() == 0) break;
      had_left_ = ended && used && exited_well_ && batch.open() == open_before && !answers.told_progress();
      return (ended ? "" : "the command closed its standard output: ") + end;
    }
    for (int round = 0; round < 16 && !text.done(); ++round) {
      const std::string_view piece = text.next();
      const std::size_t written = process.program.write(piece);
      text.taken(written);
      if (written < piece.size()) break;
    }
    if (!process.program.input_open() && !text.done() && !input_lost) {
      input_lost = true;
      deadline = deadline.sooner(Deadline::after(farewell()));
    }
    switch (process.program.wait(!text.done(), deadline, batch.stop())) {
      case WaitEnd::stopped:
        end_by_force(&answers, text.done());
        useless_starts_ = 0;
        return std::nullopt;
      case WaitEnd::deadline: {
        std::string end = end_by_force(&answers, text.done());
        if (input_lost) return "the command closed its standard input before it was told all: " + end;
        return fmt::format("the command did not answer within {}: {}", human_duration(*options_.timeout),
                           end);
      }
      case WaitEnd::woken:
      case WaitEnd::ready: break;
    }
  }
  if (answers.repeated() > 0) {
    log::warn("a command answered items more than once; the first answer stands",
              {{"command", options_.command.argv.front()}, {"answers", answers.repeated()}});
  }
  return std::nullopt;
}

/// A bounded amount, so that endless output cannot postpone a stop. Throws AnswerError.
void CommandHandler::take_output(Process& process, Answers& answers, bool all_sent) {
  for (int round = 0; round < 4 && process.read_output(); ++round) {
    while (const auto line = process.lines.next()) {
      try {
        const auto answer = decode_answer(*line);
        if (!answer) continue;
        answers.take(*answer, all_sent);
        if (!answer->progress) useless_starts_ = 0;
      } catch (const AnswerError& error) {
        throw AnswerError(
            fmt::format("the command gave an answer of no meaning: {}: {}", error.what(), excerpt(*line)));
      }
    }
    if (process.lines.overlong()) {
      throw AnswerError(fmt::format("the command wrote a line of more than {}: {}",
                                    human_bytes(options_.longest_line), excerpt(process.lines.take_rest())));
    }
  }
}

void CommandHandler::take_errors(Process& process) {
  std::array<char, 64 * 1024> room;
  for (int round = 0; round < 4; ++round) {
    const std::string_view got = process.program.read(Conversation::Stream::err, room);
    if (got.empty()) return;
    process.relay.take(got, now());
  }
}

/// Whether it ended by itself before the deadline. Takes its output meanwhile, for it may wait for that; with
/// `answers` they count.
bool CommandHandler::leave_time_to_end(Deadline deadline, Answers* answers, bool all_sent) {
  for (;;) {
    take_errors(*process_);
    try {
      if (answers != nullptr) take_output(*process_, *answers, all_sent);
    } catch (const AnswerError&) {
      answers = nullptr;
    }
    if (answers == nullptr) {
      process_->read_output();
      process_->lines.take_rest();
    }
    if (process_->program.ended()) return true;
    if (process_->program.wait(false, deadline, {}) == WaitEnd::deadline) return false;
  }
}

std::string CommandHandler::end_by_force(Answers* answers, bool all_sent) {
  process_->program.close_input();
  process_->program.signal_group(SIGTERM);
  leave_time_to_end(Deadline::after(options_.command.grace), answers, all_sent);
  return collect_end(answers, all_sent);
}

/// Kills what is left of it, takes what it wrote, and answers how it ended.
std::string CommandHandler::collect_end(Answers* answers, bool all_sent) {
  const std::unique_ptr<Process> process = std::move(process_);
  const int status = process->program.end();
  exited_well_ = status == 0;
  take_errors(*process);
  if (answers != nullptr) {
    try {
      take_output(*process, *answers, all_sent);
      // The last line may lack its end; one that was torn is no JSON.
      if (const auto answer = decode_answer(process->lines.take_rest())) answers->take(*answer, all_sent);
    } catch (const AnswerError& error) {
      log::warn("the last words of a command are no answer", {{"error", error.what()}});
    }
  }
  process->relay.finish(now());
  const std::string tail = process->relay.tail();
  return fmt::format("the command ended with {}{}{}", exec::describe_status(status),
                     tail.empty() ? "" : "; its standard error ends with:\n", tail);
}

}  // namespace weir::work
