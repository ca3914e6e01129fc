#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

namespace weir::load {

/// What COPY takes at most for a field, with room for what the server puts around it.
inline constexpr std::size_t kLargestField = 0x3FFFFFFF - 1024;

template <class Integer>
void store_big_endian(char* at, Integer value) noexcept {
  const auto bits = static_cast<std::make_unsigned_t<Integer>>(value);
  for (std::size_t i = 0; i < sizeof(Integer); ++i) {
    at[i] = static_cast<char>(static_cast<unsigned char>(bits >> (8 * (sizeof(Integer) - 1 - i))));
  }
}

/// Without a length.
template <class Integer>
void append_integer(std::string& out, Integer value) {
  std::array<char, sizeof(Integer)> bytes{};
  store_big_endian(bytes.data(), value);
  out.append(bytes.data(), bytes.size());
}

/// A field of COPY BINARY: its length, and a number.
template <class Integer>
void put_integer(std::string& out, Integer value) {
  std::array<char, 4 + sizeof(Integer)> bytes{};
  store_big_endian(bytes.data(), static_cast<std::int32_t>(sizeof(Integer)));
  store_big_endian(bytes.data() + 4, value);
  out.append(bytes.data(), bytes.size());
}

inline void put_bytes(std::string& out, std::string_view bytes) {
  append_integer(out, static_cast<std::int32_t>(bytes.size()));
  out.append(bytes);
}

inline void put_null(std::string& out) { append_integer(out, std::int32_t{-1}); }

/// A field whose length is known when it has been written: fill in what end_field() gets from begin_field().
inline std::size_t begin_field(std::string& out) {
  out.append(4, '\0');
  return out.size();
}
inline void end_field(std::string& out, std::size_t begin) {
  store_big_endian(out.data() + begin - 4, static_cast<std::int32_t>(out.size() - begin));
}

}  // namespace weir::load
