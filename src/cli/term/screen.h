#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <termios.h>

#include "base/deadline.h"
#include "base/wait.h"

namespace weir::cli {

/// A terminal as a page that is drawn again and again: the other screen, no cursor, keys without Enter. All
/// as it was at the end of the scope.
class Screen {
 public:
  /// `keys` may be no terminal: then there are no keys.
  Screen(int out, int keys);
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  /// Draws the page from the top, cut to what the terminal has room for now. Texts may be coloured.
  void draw(std::string_view page);
  /// Waits for a key; nothing at the deadline, on stop, or when there are no keys.
  std::optional<char> wait_key(Deadline deadline, const std::stop_token& stop);

 private:
  void write(std::string_view text) const noexcept;

  int out_;
  int keys_;
  std::optional<termios> before_;
  Wakeup wakeup_;
};

/// A line with colour codes, cut to what `width` columns have room for.
std::string cut_coloured(std::string_view line, std::size_t width);

}  // namespace weir::cli
