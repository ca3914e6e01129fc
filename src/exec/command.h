#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "exec/user.h"

namespace weir::exec {

/// One program to run. No shell takes part: `argv` reaches the program as it stands here.
struct Command {
  std::vector<std::string> argv;  ///< argv[0] without a slash is looked up on our PATH
  std::map<std::string, std::optional<std::string>> env;  ///< laid over our environment; nothing means unset
  std::filesystem::path cwd;          ///< empty: ours. Entered with the rights of `run_as`
  std::optional<User> run_as;         ///< needs root, unless it is who we are
  std::string input;                  ///< standard input; empty is an end of file at once
  std::size_t keep_head = 16 * 1024;  ///< of each of standard output and error, these first bytes
  std::size_t keep_tail = 48 * 1024;  ///< and these last ones are kept, the middle is counted
  /// SIGKILL for it when the thread that starts it ends. When our process is killed, its whole group is
  /// killed in any case (see GuardedGroup); with this the program itself is even where there is no guardian.
  bool dies_with_thread = false;
  Duration grace = std::chrono::seconds(5);  ///< from SIGTERM to SIGKILL when it has to end early
};

/// The program never ran; the message names it.
class StartError final : public Error {
 public:
  enum class Step {
    find,      ///< nothing on PATH has its name
    prepare,   ///< no process, pipe or session to be had
    identity,  ///< we may not become that user
    folder,    ///< that user cannot enter the working folder
    program,   ///< that user cannot execute the program
  };
  StartError(const Command& command, Step step, int error_number);

  [[nodiscard]] Step step() const noexcept { return step_; }
  [[nodiscard]] int error_number() const noexcept { return error_number_; }

 private:
  Step step_;
  int error_number_;
};

/// The file that `name` means: itself when it has a slash, else the first executable of that name in the
/// folders of `search_path`, which is written like PATH, as an absolute path. Nothing when there is none.
std::optional<std::filesystem::path> find_program(const std::string& name, std::string_view search_path);

}  // namespace weir::exec
