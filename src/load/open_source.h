#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "load/read/byte_source.h"
#include "load/read/csv_dialect.h"
#include "load/read/record_reader.h"

namespace weir::load {

enum class Format : std::uint8_t { csv, tsv, ndjson, json, sqlite, postgres, singer };
std::string_view to_string(Format format) noexcept;
/// Nothing for an unknown word.
std::optional<Format> parse_format(std::string_view word) noexcept;
/// All words, as help and mistakes show them.
std::vector<std::string_view> format_words();

/// Where records come from and how they are written, as somebody said it; the rest is found out.
struct SourceChoice {
  /// Files, patterns, "-", "sqlite:FILE?table=NAME", a PostgreSQL URL.
  std::vector<std::string> words{};
  std::vector<std::string> command{};                               ///< instead of words: its standard output
  std::filesystem::path command_folder{};                           ///< where it runs; empty: here
  std::map<std::string, std::optional<std::string>> command_env{};  ///< laid over our environment
  std::optional<Format> format{};
  CsvChoice csv{};
  std::string table{};  ///< of sqlite and postgres; or
  std::string query{};  ///< what they are asked
  /// Of PostgreSQL: what the query finds set. Not a part of the URL, which the server takes 10 kB of.
  std::vector<std::pair<std::string, std::string>> settings{};
  std::string stream{};     ///< of singer; empty: the only one
  std::size_t flatten = 0;  ///< of JSON: levels of objects that become columns
};

/// From what is said alone, the names' endings included; nothing where the first bytes have to tell. Pure.
std::optional<Format> said_format(const SourceChoice& choice);

struct OpenedSource {
  std::unique_ptr<RecordReader> reader;
  Format format = Format::csv;
  std::string label;  ///< for people and the history, without a password: "rates.csv"
  /// Changes when another run would give other records; empty where nobody can tell.
  std::string fingerprint;
  /// The same once more, from its beginning; only where it has a fingerprint.
  std::function<std::unique_ptr<RecordReader>()> reopen{};
};

/// Opens it and reads as much as it takes to know its columns. Throws when there is nothing to open.
OpenedSource open_source(const SourceChoice& choice, const std::stop_token& stop);

/// The bytes of a source that is one file, standard input, or a command: of a Singer tap.
std::unique_ptr<ByteSource> open_bytes(const SourceChoice& choice, const std::stop_token& stop);

/// For people, without a password. Pure.
std::string source_label(const SourceChoice& choice);

}  // namespace weir::load
