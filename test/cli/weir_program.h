#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "base/clock.h"
#include "base/unique_fd.h"

namespace weir::test {

/// How the program is started. DATABASE_URL, NO_COLOR and their like are unset unless `env` sets them.
struct WeirSetup {
  std::map<std::string, std::optional<std::string>> env{};
  std::filesystem::path folder = "/";
  std::string input{};    ///< what stands on standard input
  bool terminal = false;  ///< standard output and error are one terminal, 80 columns wide
  bool keyboard = false;  ///< with `terminal`: standard input is it, too
};

/// The program under test while it runs, as a user has it before them. Killed at the end of the scope.
class WeirProgram {
 public:
  explicit WeirProgram(const std::vector<std::string>& words, const WeirSetup& setup = {});
  ~WeirProgram();
  WeirProgram(const WeirProgram&) = delete;
  WeirProgram& operator=(const WeirProgram&) = delete;

  /// The first line of standard output with `text` in it; throws, with all output, when it does not come.
  std::string wait_for(std::string_view text);
  /// The same on standard error.
  std::string wait_for_error(std::string_view text);
  /// Presses keys of the terminal.
  void type(std::string_view keys) const;
  void signal(int number) const;
  /// Its exit status once it has ended by itself; -N after signal N. Throws when it does not end.
  int wait_end();

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  [[nodiscard]] const std::string& out() const noexcept { return out_; }
  [[nodiscard]] const std::string& err() const noexcept { return err_; }

 private:
  std::string wait_line(const std::string& stream, std::string_view text);
  bool take(Duration patience);
  [[noreturn]] void give_up(const std::string& what) const;

  UniqueFd out_fd_;
  UniqueFd err_fd_;
  std::string out_;
  std::string err_;
  pid_t pid_ = 0;
  bool reaped_ = false;
};

struct WeirResult {
  int status = 0;
  std::string out;
  std::string err;
};

/// Runs it to its end.
WeirResult run_weir(const std::vector<std::string>& words, const WeirSetup& setup = {});

/// The file under test: $WEIR_BINARY, else the one built beside the tests.
std::string weir_binary();

}  // namespace weir::test
