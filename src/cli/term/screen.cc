#include "cli/term/screen.h"

#include <algorithm>
#include <cerrno>

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/text.h"
#include "base/width.h"
#include "cli/term/terminal.h"

namespace weir::cli {
namespace {

constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l";
constexpr std::string_view kLeave = "\x1b[?25h\x1b[?1049l";

std::size_t terminal_rows(int fd) noexcept {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_row == 0) return 24;
  return size.ws_row;
}

}  // namespace

std::string cut_coloured(std::string_view line, std::size_t width) {
  std::string out;
  bool coloured = false;
  while (!line.empty()) {
    if (line.front() == '\x1b') {
      const std::size_t end = std::min(line.find('m'), line.size() - 1) + 1;
      out += line.substr(0, end);
      coloured = true;
      line.remove_prefix(end);
      continue;
    }
    const std::size_t length = std::max<std::size_t>(utf8_length(line), 1);
    const std::size_t columns = display_width(line.substr(0, length));
    if (columns > width) break;
    width -= columns;
    out += line.substr(0, length);
    line.remove_prefix(length);
  }
  if (coloured) out += "\x1b[0m";
  return out;
}

Screen::Screen(int out, int keys) : out_(out), keys_(keys) {
  termios mode{};
  if (::tcgetattr(keys_, &mode) == 0) {
    before_ = mode;
    // Ctrl-C stays a signal.
    mode.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    mode.c_cc[VMIN] = 1;
    mode.c_cc[VTIME] = 0;
    ::tcsetattr(keys_, TCSANOW, &mode);
  }
  write(kEnter);
}

Screen::~Screen() {
  write(kLeave);
  if (before_) ::tcsetattr(keys_, TCSANOW, &*before_);
}

void Screen::draw(std::string_view page) {
  const std::size_t columns = terminal_columns(out_);
  const std::size_t rows = terminal_rows(out_);
  std::string text = "\x1b[H";
  for (std::size_t row = 0; row < rows && !page.empty(); ++row) {
    const std::size_t end = std::min(page.find('\n'), page.size());
    if (row > 0) text += "\r\n";
    text += cut_coloured(page.substr(0, end), columns) + "\x1b[K";
    page.remove_prefix(std::min(end + 1, page.size()));
  }
  write(text + "\x1b[J");
}

std::optional<char> Screen::wait_key(Deadline deadline, const std::stop_token& stop) {
  const int fd = before_ ? keys_ : -1;
  if (wait_fd(fd, POLLIN, deadline, stop, wakeup_) != WaitEnd::ready) return std::nullopt;
  char key = 0;
  if (::read(fd, &key, 1) == 1) return key;
  // The terminal is gone.
  before_.reset();
  return std::nullopt;
}

void Screen::write(std::string_view text) const noexcept {
  while (!text.empty()) {
    const ssize_t wrote = ::write(out_, text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(wrote));
  }
}

}  // namespace weir::cli
