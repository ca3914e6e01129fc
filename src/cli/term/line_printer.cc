#include "cli/term/line_printer.h"

#include <cerrno>

#include <unistd.h>

#include "base/text.h"
#include "base/width.h"

namespace weir::cli {

void LinePrinter::step(std::string_view text) {
  switch (mode_) {
    case Mode::silent: return;
    case Mode::lines: write("weir: " + printable(text) + "\n"); return;
    case Mode::overprint: break;
  }
  // A line that fills the last column makes some terminals wrap.
  const std::size_t columns = terminal_columns(fd_) - 1;
  write("\r" + elide_middle("weir: " + printable(text) + " ...", columns) + "\x1b[K");
  shown_ = true;
}

void LinePrinter::note(std::string_view text) {
  if (mode_ == Mode::silent) return;
  clear();
  write("weir: " + printable(text) + "\n");
}

void LinePrinter::block(std::string_view lines) {
  if (mode_ == Mode::silent) return;
  clear();
  write(lines);
}

void LinePrinter::clear() noexcept {
  if (shown_) write("\r\x1b[K");
  shown_ = false;
}

void LinePrinter::write(std::string_view text) const noexcept {
  while (!text.empty()) {
    const ssize_t wrote = ::write(fd_, text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(wrote));
  }
}

}  // namespace weir::cli
