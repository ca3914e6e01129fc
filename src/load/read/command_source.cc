#include <algorithm>
#include <array>
#include <csignal>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/text.h"
#include "exec/captured_text.h"
#include "exec/conversation.h"
#include "load/read/byte_source.h"

namespace weir::load {
namespace {

constexpr std::size_t kNameWidth = 80;

std::string name_of(const exec::Command& command) {
  return elide(printable(fmt::format("{}", fmt::join(command.argv, " "))), kNameWidth);
}

class CommandSource final : public ByteSource {
 public:
  CommandSource(const exec::Command& command, std::stop_token stop)
      : name_(name_of(command)),
        grace_(command.grace),
        stop_(std::move(stop)),
        errors_(command.keep_head, command.keep_tail),
        program_(command, exec::Conversation::Input::none) {}

  std::size_t read(std::span<char> room) override {
    while (!over_) {
      // Asked first: what was written before the end is in the pipe now, and what another process of its
      // group writes later is not waited for.
      const bool ended = program_.ended();
      take_errors();
      const std::string_view got = program_.read(exec::Conversation::Stream::out, room);
      if (stop_.stop_requested()) give_up();
      if (!got.empty()) {
        done_ += got.size();
        return got.size();
      }
      if (ended) {
        over_ = true;
        judge(program_.end());
      } else {
        const WaitEnd end = program_.wait(false, idle_ ? idle_->until() : Deadline::never(), stop_);
        if (end == WaitEnd::stopped) give_up();
        if (end == WaitEnd::deadline) idle_->act();
      }
    }
    return 0;
  }

  [[nodiscard]] ReadProgress progress() const override { return {done_, 0}; }
  void set_idle(Idle idle) override { idle_ = std::move(idle); }

 private:
  void take_errors() {
    std::array<char, 16 * 1024> room;
    // Once, so that endless complaints cannot postpone the data.
    errors_.append(program_.read(exec::Conversation::Stream::err, room));
  }

  void judge(int status) {
    std::array<char, 16 * 1024> room;
    for (int round = 0; round < 16; ++round)
      errors_.append(program_.read(exec::Conversation::Stream::err, room));
    if (status == 0) return;
    const std::string said(trim(errors_.text()));
    throw Error(ExitCode::failed,
                fmt::format("the command '{}' failed with {} after {} bytes", name_,
                            exec::describe_status(status), done_),
                said.empty() ? "It wrote nothing to standard error." : "It wrote: " + printable_lines(said));
  }

  /// It is asked to end first: it may have a lock or a session to give back.
  [[noreturn]] void give_up() {
    over_ = true;
    program_.signal_group(SIGTERM);
    const Deadline deadline = Deadline::after(grace_);
    std::array<char, 16 * 1024> room;
    while (!program_.ended() && program_.wait(false, deadline, {}) != WaitEnd::deadline) {
      program_.read(exec::Conversation::Stream::out, room);
      program_.read(exec::Conversation::Stream::err, room);
    }
    program_.end();
    throw Error(ExitCode::interrupted, fmt::format("stopped while reading from the command '{}'", name_));
  }

  static std::string printable_lines(std::string_view text) {
    std::string out;
    while (!text.empty()) {
      const std::size_t end = std::min(text.find('\n'), text.size());
      if (!out.empty()) out += '\n';
      out += printable(text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    return out;
  }

  std::string name_;
  Duration grace_;
  std::stop_token stop_;
  std::optional<Idle> idle_;
  exec::CapturedText errors_;
  exec::Conversation program_;
  std::uint64_t done_ = 0;
  bool over_ = false;
};

}  // namespace

std::unique_ptr<ByteSource> open_command(const exec::Command& command, std::stop_token stop) {
  return std::make_unique<CommandSource>(command, std::move(stop));
}

Input command_input(exec::Command command) {
  std::string name = name_of(command);
  return {.name = name, .open = [command = std::move(command), name](const std::stop_token& stop) {
            return decompressed(open_command(command, stop), name);
          }};
}

}  // namespace weir::load
