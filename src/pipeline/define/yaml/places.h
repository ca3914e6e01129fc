#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "pipeline/define/yaml/node.h"

namespace weir::pipeline::yaml {

/// Programs count bytes; people count lines and characters. Asked in the order of the text it goes through it
/// once.
class Places {
 public:
  explicit Places(std::string_view source) noexcept : source_(source) {}
  /// From a place that is known.
  Places(std::string_view source, std::size_t offset, Place place) noexcept
      : source_(source), offset_(std::min(offset, source.size())), place_(place) {}

  Place at(std::size_t offset) noexcept {
    offset = std::min(offset, source_.size());
    if (offset < offset_) {
      offset_ = 0;
      place_ = {1, 1};
    }
    for (; offset_ < offset; ++offset_) {
      const auto byte = static_cast<unsigned char>(source_[offset_]);
      if (byte == '\n') {
        place_ = {place_.line + 1, 1};
      } else if ((byte & 0xC0U) != 0x80U) {
        ++place_.column;
      }
    }
    return place_;
  }

 private:
  std::string_view source_;
  std::size_t offset_ = 0;
  Place place_{1, 1};
};

}  // namespace weir::pipeline::yaml
