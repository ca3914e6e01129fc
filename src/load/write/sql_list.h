#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace weir::load {

/// part(0), `between`, part(1), ..
template <class Part>
std::string joined(std::size_t count, std::string_view between, Part part) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) text += between;
    text += part(i);
  }
  return text;
}

}  // namespace weir::load
