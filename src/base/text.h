#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace weir {

/// The candidate that `word` was probably meant to be ("did you mean"); nothing when none is near.
std::optional<std::string_view> closest(std::string_view word, std::span<const std::string_view> candidates);

/// Bytes of the UTF-8 character at the start of `text`, 1 to 4; 0 when it is none (also for an over-long
/// form, a surrogate, or an end in mid-character). `text` is not empty.
std::size_t utf8_length(std::string_view text) noexcept;

/// Whether the character at the start of `text`, of utf8_length() bytes, is one that terminals obey: C0, DEL,
/// C1.
bool is_control(std::string_view text) noexcept;

/// The position of the first byte that is not UTF-8, or nothing.
std::optional<std::size_t> find_invalid_utf8(std::string_view text) noexcept;

/// For terminals and one-line messages: control characters (C1 as well) and invalid bytes become `\xNN`, all
/// else stays.
std::string printable(std::string_view text);

/// What an exception says may be any bytes; the server takes UTF-8 without NUL. Each other byte becomes `?`.
std::string storable_text(std::string_view text);

/// `text` if it has at most `width` characters, else its head and `…`.
std::string elide(std::string_view text, std::size_t width);

/// 1536 > "1.5 KiB".
std::string human_bytes(std::uint64_t bytes);

/// Two significant units at most: "850 µs", "12.3 ms", "4.2 s", "3 m 20 s", "2 d 3 h".
std::string human_duration(Duration span);

/// A whole number and a unit: "250ms", "30s", "5m", "1h", "7d". Nothing for anything else, or where it is too
/// long to be told in nanoseconds.
std::optional<Duration> parse_duration(std::string_view text) noexcept;

/// 1234567 > "1,234,567".
std::string human_count(std::int64_t count);

std::string_view trim(std::string_view text) noexcept;

}  // namespace weir
