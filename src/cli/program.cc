#include "cli/program.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>

#include <fcntl.h>
#include <unistd.h>

#include "base/stop_signals.h"
#include "cli/commands.h"
#include "cli/failure.h"
#include "cli/help.h"
#include "cli/parse.h"

namespace weir::cli {
namespace {

/// A descriptor that the caller closed would be given to the next file or socket, which our messages would
/// then destroy. What stands in for standard output refuses to be written, so that a lost result is noticed.
void occupy_standard_fds() noexcept {
  for (int fd = 0; fd <= 2; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    const int mode = fd == STDERR_FILENO ? O_WRONLY : O_RDONLY;
    if (::open("/dev/null", mode) != fd) std::_Exit(static_cast<int>(ExitCode::failed));  // NOLINT
  }
}

ExitCode tell(const Failure& failure, bool json, int json_fd, ColorChoice color) {
  if (json) {
    try {
      Output(json_fd, false).write(to_json(failure));
      return failure.code;
    } catch (const Error&) {
      // It is of no use: then standard error has to do.
    }
  }
  const Paint paint(look_at_terminal(STDERR_FILENO, color).color);
  try {
    Output(STDERR_FILENO, false).write(to_text(failure, paint));
  } catch (const Error&) {
    // Nobody is left to tell; the exit status says it.
  }
  return failure.code;
}

LinePrinter::Mode progress_mode(const GlobalOptions& global, const Terminal& terminal) noexcept {
  if (global.quiet || global.json || global.log_format == log::Format::json) return LinePrinter::Mode::silent;
  // A log between the steps would be overwritten by them.
  const bool calm = global.log_level != log::Level::debug;
  return terminal.overprint && calm ? LinePrinter::Mode::overprint : LinePrinter::Mode::lines;
}

ExitCode run_command(const Registry& registry, const Invocation& invocation) {
  const GlobalOptions& global = invocation.global;
  Output out(STDOUT_FILENO, look_at_terminal(STDOUT_FILENO, global.color).color);
  if (invocation.help) {
    const bool shown = show_help(out, global.json, registry,
                                 invocation.command == nullptr ? invocation.group : invocation.command->path);
    return shown ? ExitCode::ok : ExitCode::usage;
  }

  const StopSignals signals;
  const Terminal terminal = look_at_terminal(STDERR_FILENO, global.color);
  log::configure({.level = global.log_level, .format = global.log_format, .color = terminal.color});
  LinePrinter progress(STDERR_FILENO, progress_mode(global, terminal));
  Context context{global, invocation.arguments, out, progress, signals.token()};
  return invocation.command->run(context);
}

}  // namespace

int run_program(int argc, const char* const* argv) noexcept {
  occupy_standard_fds();
  // A reader that left is for Output to notice, also where an error or the help is told.
  std::signal(SIGPIPE, SIG_IGN);
  // Whoever started us may ignore it, and then we were not told how our programs end.
  std::signal(SIGCHLD, SIG_DFL);
  bool json = false;
  int json_fd = STDOUT_FILENO;
  ColorChoice color = ColorChoice::automatic;
  try {
    const std::vector<std::string_view> words(argv + (argc > 0 ? 1 : 0), argv + argc);
    json = wants_json(words);
    if (tells_states(words)) json_fd = STDERR_FILENO;
    const Registry registry = all_commands();
    const Invocation invocation = parse(registry, words);
    color = invocation.global.color;
    return static_cast<int>(run_command(registry, invocation));
  } catch (...) {
    return static_cast<int>(tell(failure_of(std::current_exception()), json, json_fd, color));
  }
}

}  // namespace weir::cli
