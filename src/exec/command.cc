#include "exec/command.h"

#include <cerrno>
#include <system_error>

#include <unistd.h>

#include <fmt/format.h>

namespace weir::exec {

namespace {

std::string start_message(const Command& command, StartError::Step step, int error_number) {
  const std::string& program = command.argv.at(0);
  std::string reason = std::generic_category().message(error_number);
  const std::string who = command.run_as ? fmt::format("user {}", command.run_as->name) : "this user";
  switch (step) {
    case StartError::Step::find: return fmt::format("program {} was not found on PATH", program);
    case StartError::Step::prepare: return fmt::format("cannot make a process for {}: {}", program, reason);
    case StartError::Step::identity: return fmt::format("cannot run {} as {}: {}", program, who, reason);
    case StartError::Step::folder:
      return fmt::format("cannot run {} in folder {} as {}: {}", program, command.cwd.string(), who, reason);
    case StartError::Step::program: return fmt::format("cannot execute {} as {}: {}", program, who, reason);
  }
  return reason;
}

const char* start_remedy(StartError::Step step) {
  switch (step) {
    case StartError::Step::find: return "Install it, or add its folder to PATH.";
    case StartError::Step::prepare:
      return "Check the limits on processes and open files (ulimit -u, ulimit -n).";
    case StartError::Step::identity: return "Run as root, or as that user.";
    case StartError::Step::folder: return "Check that the folder exists and that the user may enter it.";
    case StartError::Step::program: return "Check that the file exists and that the user may execute it.";
  }
  return "";
}

}  // namespace

StartError::StartError(const Command& command, Step step, int error_number)
    : Error(ExitCode::failed, start_message(command, step, error_number), start_remedy(step)),
      step_(step),
      error_number_(error_number) {}

std::optional<std::filesystem::path> find_program(const std::string& name, std::string_view search_path) {
  if (name.find('/') != std::string::npos) return name;
  while (true) {
    const std::size_t end = search_path.find(':');
    const std::filesystem::path folder(search_path.substr(0, end));
    // An empty entry means the current folder to a shell, which is a trap that Weir does not keep.
    if (!folder.empty()) {
      std::filesystem::path file = folder / name;
      std::error_code ignored;
      if (::access(file.c_str(), X_OK) == 0 && std::filesystem::is_regular_file(file, ignored)) {
        // The program may be started in another folder.
        return std::filesystem::absolute(file);
      }
    }
    if (end == std::string_view::npos) return std::nullopt;
    search_path.remove_prefix(end + 1);
  }
}

}  // namespace weir::exec
