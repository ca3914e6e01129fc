#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "load/read/csv_dialect.h"

namespace weir::test {

/// What CSV means, written down as plainly as possible: one byte after the other, all of it in memory.
struct NaiveRecord {
  enum class Kind { good, stray, too_long };
  Kind kind = Kind::good;
  std::size_t line = 0;
  std::string raw{};
  std::vector<std::optional<std::string>> cells{};

  friend bool operator==(const NaiveRecord&, const NaiveRecord&) = default;
};

struct NaiveFile {
  std::vector<NaiveRecord> records{};
  std::optional<std::size_t> open_quote_line{};  ///< of a quote that is never closed

  friend bool operator==(const NaiveFile&, const NaiveFile&) = default;
};

inline NaiveFile naive_csv(std::string_view text, const load::CsvDialect& dialect) {
  NaiveFile file;
  std::size_t at = 0;
  std::size_t line = 1;
  const auto done = [&] { return at == text.size(); };
  const auto at_line_end = [&] { return !done() && (text[at] == '\n' || text[at] == '\r'); };
  const auto pass_line_end = [&] {
    at += text.substr(at, 2) == "\r\n" ? 2U : 1U;
    ++line;
  };
  const auto skip_blanks = [&](std::size_t from) {
    while (dialect.trim && from < text.size() && (text[from] == ' ' || text[from] == '\t') &&
           text[from] != dialect.delimiter)
      ++from;
    return from;
  };
  const auto is_null = [&](std::string_view cell) {
    for (const std::string& null : dialect.nulls) {
      if (cell == null) return true;
    }
    return false;
  };
  while (!done()) {
    const std::size_t begin = at;
    if (dialect.comment != 0 && text[at] == dialect.comment) {
      while (!done() && !at_line_end()) ++at;
      if (!done()) pass_line_end();
      continue;
    }
    if (const std::size_t rest = skip_blanks(at);
        rest == text.size() || text[rest] == '\n' || text[rest] == '\r') {
      at = rest;
      if (!done()) pass_line_end();
      continue;
    }
    NaiveRecord record{.line = line};
    for (bool more = true; more;) {
      std::string cell;
      const std::size_t start = skip_blanks(at);
      if (dialect.quote != 0 && start < text.size() && text[start] == dialect.quote) {
        const std::size_t opened_in = line;
        for (at = start + 1; !done(); cell += text[at++]) {
          const std::string_view pair = text.substr(at, 2);
          const bool escaped = dialect.backslash && pair.size() == 2 && pair[0] == '\\' &&
                               (pair[1] == dialect.quote || pair[1] == '\\');
          if (escaped || pair == std::string(2, dialect.quote))
            ++at;
          else if (text[at] == dialect.quote)
            break;
          if (text[at] == '\n' || (text[at] == '\r' && text.substr(at, 2) != "\r\n")) ++line;
        }
        if (done()) {
          file.open_quote_line = opened_in;
          return file;
        }
        const std::size_t behind = skip_blanks(at + 1);
        at = behind;
        record.cells.emplace_back(cell);
        if (!done() && !at_line_end() && text[at] != dialect.delimiter) {
          record.kind = NaiveRecord::Kind::stray;
          while (!done() && !at_line_end()) ++at;
        }
      } else {
        while (!done() && !at_line_end() && text[at] != dialect.delimiter) cell += text[at++];
        if (dialect.trim) {
          cell.erase(0, std::min(cell.find_first_not_of(" \t"), cell.size()));
          cell.erase(cell.find_last_not_of(" \t") + 1);
        }
        record.cells.push_back(is_null(cell) ? std::nullopt : std::optional(cell));
      }
      more = !done() && !at_line_end();
      if (more) ++at;  // the delimiter
    }
    record.raw = text.substr(begin, at - begin);
    if (record.raw.size() > dialect.max_record) {
      record.kind = NaiveRecord::Kind::too_long;
      record.raw.resize(std::min<std::size_t>(dialect.max_record, 64 * 1024));
    }
    if (!done()) pass_line_end();
    if (record.kind != NaiveRecord::Kind::good) record.cells.clear();
    file.records.push_back(record);
  }
  return file;
}

}  // namespace weir::test
