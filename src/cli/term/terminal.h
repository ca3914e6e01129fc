#pragma once

#include <cstddef>

namespace weir::cli {

enum class ColorChoice { automatic, always, never };

/// What can be done on a descriptor.
struct Terminal {
  bool is_terminal = false;
  bool overprint = false;  ///< a terminal that can rewrite its line
  bool color = false;
};

struct TerminalFacts {
  bool is_terminal = false;
  bool dumb = false;      ///< TERM=dumb, or no TERM
  bool no_color = false;  ///< NO_COLOR with any value (https://no-color.org)
};

/// Pure.
Terminal decide(const TerminalFacts& facts, ColorChoice choice) noexcept;

Terminal look_at_terminal(int fd, ColorChoice choice);

/// Columns of the terminal behind `fd` now; 80 when it does not tell.
std::size_t terminal_columns(int fd) noexcept;

}  // namespace weir::cli
