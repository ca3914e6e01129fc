#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::load {

inline constexpr std::size_t kMaxCsvRecord = std::size_t{16} << 20U;

/// How a file of separated values is written.
struct CsvDialect {
  char delimiter = ',';
  char quote = '"';        ///< only at the beginning of a field; 0: no quotes
  bool backslash = false;  ///< in quotes \" and \\ are a quote and a backslash; "" is a quote in any case
  bool header = true;
  std::vector<std::string> nulls{""};      ///< a field without quotes that says one of these is null
  std::string encoding = "utf-8";          ///< as iconv calls it
  char comment = 0;                        ///< a line that begins with it is none; 0: there are no comments
  bool trim = false;                       ///< blanks around a field, or around its quotes, are none of it
  std::size_t max_record = kMaxCsvRecord;  ///< bytes; a longer record is rejected, and never held as a whole

  friend bool operator==(const CsvDialect&, const CsvDialect&) = default;
};

/// What somebody said about a file; the rest is found out.
struct CsvChoice {
  std::optional<char> delimiter{};
  std::optional<char> quote{};
  std::optional<bool> backslash{};
  std::optional<bool> header{};
  std::optional<std::vector<std::string>> nulls{};
  std::optional<std::string> encoding{};
  char comment = 0;
  bool trim = false;
  std::optional<std::size_t> max_record{};
};

/// Bytes that are looked at.
inline constexpr std::size_t kCsvSniffBytes = std::size_t{64} << 10U;

/// From the first bytes of a file, as they are stored. `whole`: there are no more.
CsvDialect sniff_csv(std::string_view head, bool whole, const CsvChoice& choice = {});

/// Throws when its characters cannot be told from each other.
void check_dialect(const CsvDialect& dialect);

}  // namespace weir::load
