#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace weir {

/// The columns that `text` takes on a terminal: 2 for East Asian wide characters and emoji, 0 for combining
/// marks. Independent of the locale. `text` holds no control characters (base/text.h: printable).
std::size_t display_width(std::string_view text) noexcept;

/// `text` if it fits into `width` columns, else its beginning and its end around `...`: of a path both tell
/// something.
std::string elide_middle(std::string_view text, std::size_t width);

}  // namespace weir
