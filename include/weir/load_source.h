#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace weir {

/// How a file of separated values is written. What is not said is found out.
struct CsvFormat {
  std::optional<char> delimiter{};
  std::optional<char> quote{};      ///< 0: there are none
  std::optional<bool> backslash{};  ///< in quotes \" is a quote
  std::optional<bool> header{};     ///< the first line names the columns
  /// A field without quotes that says one of these is null; not said: an empty one.
  std::optional<std::vector<std::string>> nulls{};
  std::optional<std::string> encoding{};  ///< as iconv calls it
  std::optional<char> comment{};          ///< lines that begin with it are passed over
  bool trim = false;                      ///< blanks around fields are none of them
};

/// Where records come from; docs/loads.md tells all about each kind.
struct LoadSource {
  enum class Format { csv, tsv, ndjson, json, sqlite, postgres };

  /// Files and patterns, gzip and zstd included; or one of "-" (standard input), "sqlite:FILE", a PostgreSQL
  /// URL.
  std::vector<std::string> from{};
  std::vector<std::string> command{};  ///< instead: its standard output; one that fails loads nothing
  std::string command_folder{};        ///< where it runs; empty: here
  /// Laid over our environment; nothing takes a variable away.
  std::map<std::string, std::optional<std::string>> command_env{};
  std::optional<Format> format{};  ///< not said: by names and first bytes
  CsvFormat csv{};
  std::string table{};      ///< of a database; or
  std::string query{};      ///< what it is asked
  std::size_t flatten = 0;  ///< of JSON: levels of objects that become columns
  /// Bytes; a longer record is rejected. Not said: 16 MiB, of JSON 4 MiB.
  std::optional<std::size_t> max_record{};
};

}  // namespace weir
