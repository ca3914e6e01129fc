#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <string>

#include "load/read/byte_source.h"

namespace weir::test {

/// Bytes that come in pieces of one size, as a pipe may give them.
class PiecedSource : public load::ByteSource {
 public:
  PiecedSource(std::string bytes, std::size_t piece) : bytes_(std::move(bytes)), piece_(piece) {}
  std::size_t read(std::span<char> room) override {
    const std::size_t count = std::min({room.size(), piece_, bytes_.size() - at_});
    std::memcpy(room.data(), bytes_.data() + at_, count);
    at_ += count;
    return count;
  }
  [[nodiscard]] load::ReadProgress progress() const override { return {at_, bytes_.size()}; }

 private:
  std::string bytes_;
  std::size_t piece_;
  std::size_t at_ = 0;
};

inline std::unique_ptr<load::ByteSource> bytes_of(std::string bytes) {
  const std::size_t all = bytes.size() + 1;
  return std::make_unique<PiecedSource>(std::move(bytes), all);
}

}  // namespace weir::test
