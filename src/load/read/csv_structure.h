#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace weir::load {

/// Finds the bytes of CSV that can mean something: 64 at a time, a bit for each.
class CsvStructure {
 public:
  static constexpr std::size_t kBlock = 64;

  CsvStructure(char delimiter, char quote, char escape) noexcept
      : delimiter_(delimiter), quote_(quote), escape_(escape) {}

  [[nodiscard]] std::uint64_t find(const char* block) const noexcept {
#if defined(__SSE2__)
    const __m128i delimiter = _mm_set1_epi8(delimiter_);
    const __m128i quote = _mm_set1_epi8(quote_);
    const __m128i escape = _mm_set1_epi8(escape_);
    const __m128i line_feed = _mm_set1_epi8('\n');
    const __m128i carriage_return = _mm_set1_epi8('\r');
    std::uint64_t mask = 0;
    for (unsigned part = 0; part < 4; ++part) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + part * 16));
      const __m128i ends =
          _mm_or_si128(_mm_cmpeq_epi8(bytes, line_feed), _mm_cmpeq_epi8(bytes, carriage_return));
      const __m128i marks =
          _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(bytes, delimiter), _mm_cmpeq_epi8(bytes, quote)),
                       _mm_or_si128(_mm_cmpeq_epi8(bytes, escape), ends));
      mask |= std::uint64_t{static_cast<std::uint32_t>(_mm_movemask_epi8(marks))} << (part * 16);
    }
    return mask;
#else
    return find_portably(block);
#endif
  }

  /// The same for any machine; compilers make vectors of it.
  [[nodiscard]] std::uint64_t find_portably(const char* block) const noexcept {
    std::uint64_t mask = 0;
    for (unsigned i = 0; i < kBlock; ++i) {
      const char c = block[i];
      const bool mark = (c == delimiter_) | (c == quote_) | (c == escape_) | (c == '\n') | (c == '\r');
      mask |= std::uint64_t{mark} << i;
    }
    return mask;
  }

 private:
  char delimiter_;
  char quote_;
  char escape_;
};

}  // namespace weir::load
