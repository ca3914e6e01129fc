#pragma once

#include <cstdint>
#include <string_view>

namespace weir {

/// FNV-1a, 64 bit: for checksums of files and for lock keys that any version of Weir must compute alike.
/// Not for hash tables fed by strangers, and never a proof against tampering.
constexpr std::uint64_t fnv1a(std::string_view text, std::uint64_t hash = 0xcbf29ce484222325ULL) noexcept {
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3ULL;
  }
  return hash;
}

}  // namespace weir
