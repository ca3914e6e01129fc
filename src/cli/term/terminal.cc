#include "cli/term/terminal.h"

#include <cstdlib>
#include <string_view>

#include <sys/ioctl.h>
#include <unistd.h>

namespace weir::cli {

Terminal decide(const TerminalFacts& facts, ColorChoice choice) noexcept {
  Terminal terminal;
  terminal.is_terminal = facts.is_terminal;
  terminal.overprint = facts.is_terminal && !facts.dumb;
  terminal.color = choice == ColorChoice::always ||
                   (choice == ColorChoice::automatic && terminal.overprint && !facts.no_color);
  return terminal;
}

Terminal look_at_terminal(int fd, ColorChoice choice) {
  const char* const kind = std::getenv("TERM");
  const char* const no_color = std::getenv("NO_COLOR");
  TerminalFacts facts;
  facts.is_terminal = ::isatty(fd) == 1;
  facts.dumb = kind == nullptr || std::string_view(kind).empty() || std::string_view(kind) == "dumb";
  facts.no_color = no_color != nullptr && *no_color != '\0';
  return decide(facts, choice);
}

std::size_t terminal_columns(int fd) noexcept {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

}  // namespace weir::cli
