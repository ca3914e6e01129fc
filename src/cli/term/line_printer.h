#pragma once

#include <string>
#include <string_view>

#include "cli/term/terminal.h"

namespace weir::cli {

/// Says on standard error what a command is doing. A terminal shows one line that each step overwrites and
/// that is gone at the end; a file or a pipe gets a line for each step. Nothing it does can fail a command.
class LinePrinter {
 public:
  enum class Mode {
    silent,
    lines,      ///< one line a step
    overprint,  ///< one line for all steps
  };

  LinePrinter(int fd, Mode mode) noexcept : fd_(fd), mode_(mode) {}
  LinePrinter(const LinePrinter&) = delete;
  LinePrinter& operator=(const LinePrinter&) = delete;
  ~LinePrinter() { clear(); }

  /// Whether a step costs no line, so that one may come often.
  [[nodiscard]] bool overprints() const noexcept { return mode_ == Mode::overprint; }
  [[nodiscard]] bool silent() const noexcept { return mode_ == Mode::silent; }

  /// What is being done from now on, such as "starting PostgreSQL".
  void step(std::string_view text);
  /// A line that stays.
  void note(std::string_view text);
  /// Lines that stay, as they are: printable, each with its end.
  void block(std::string_view lines);
  /// Removes the line of the current step. To be called before anybody else writes to the terminal.
  void clear() noexcept;

 private:
  void write(std::string_view text) const noexcept;

  int fd_;
  Mode mode_;
  bool shown_ = false;
};

}  // namespace weir::cli
