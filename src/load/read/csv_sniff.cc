#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "load/read/byte_source.h"
#include "load/read/csv_dialect.h"
#include "load/read/csv_splitter.h"
#include "load/read/encoding_guess.h"

namespace weir::load {
namespace {

/// The most likely first, where two explain a file equally well.
constexpr std::array kDelimiters{',', ';', '\t', '|'};
constexpr std::size_t kMostRecords = 1000;

/// A number, a date, a time, in whatever form: what a header does not consist of.
bool is_value(std::string_view text) {
  text = trim(text);
  if (!text.empty() && (text.front() == '+' || text.front() == '-')) text.remove_prefix(1);
  if (text.empty() || (text.front() != '.' && (text.front() < '0' || text.front() > '9'))) return false;
  return text.find_first_not_of("0123456789.,:/-+ eETZ%") == text.npos;
}

struct Head {
  std::vector<std::vector<std::string_view>> records;
  std::size_t stray = 0;          // records with text behind a closing quote
  std::size_t enclosed = 0;       // fields in quotes
  std::size_t with_enclosed = 0;  // records that have one
  bool spans_lines = false;       // one of them does
  bool unclosed = false;

  [[nodiscard]] bool regular() const {
    return std::all_of(records.begin(), records.end(),
                       [&](const auto& record) { return record.size() == records.front().size(); });
  }
};

/// `padded` ends with bytes that are none of the text.
Head split(std::string_view padded, bool whole, const CsvDialect& dialect) {
  Head head;
  CsvSplitter splitter(dialect);
  splitter.show(padded.data(), padded.size() - CsvSplitter::kPadding, 0, whole);
  while (head.records.size() < kMostRecords) {
    const CsvSplitter::Step step = splitter.next();
    head.unclosed = step == CsvSplitter::Step::unclosed;
    if (step != CsvSplitter::Step::record) break;
    if (splitter.stray_at() != 0) {
      ++head.stray;
      continue;
    }
    std::vector<std::string_view> fields;
    const std::size_t enclosed_before = head.enclosed;
    for (std::size_t i = 0; i < std::min(splitter.field_count(), kMaxCsvColumns); ++i) {
      const CsvField& field = splitter.field(i);
      fields.push_back(splitter.bytes().substr(field.begin, field.end - field.begin));
      if (!field.quoted) continue;
      ++head.enclosed;
      head.spans_lines = head.spans_lines || fields.back().find_first_of("\r\n") != std::string_view::npos;
    }
    head.with_enclosed += head.enclosed > enclosed_before ? 1 : 0;
    head.records.push_back(std::move(fields));
  }
  return head;
}

/// How well a dialect explains the beginning of a file; the greater, the better.
using Score = std::tuple<double, double, std::size_t>;

Score score_of(const Head& head) {
  if (head.records.empty()) return {};
  std::map<std::size_t, std::size_t> widths;
  std::size_t fields = 0;
  std::size_t values = 0;
  for (const auto& record : head.records) {
    ++widths[record.size()];
    fields += record.size();
    values += static_cast<std::size_t>(std::count_if(record.begin(), record.end(), is_value));
  }
  const auto usual = std::max_element(widths.begin(), widths.end(),
                                      [](const auto& a, const auto& b) { return a.second < b.second; });
  const auto all = static_cast<double>(head.records.size() + head.stray + (head.unclosed ? 1 : 0));
  // A delimiter that nothing is divided by explains nothing.
  if (usual->first == 1) return {};
  return {static_cast<double>(usual->second) / all, static_cast<double>(values) / static_cast<double>(fields),
          usual->first};
}

bool looks_like_header(const std::vector<std::vector<std::string_view>>& records) {
  if (records.empty()) return true;
  const auto& first = records.front();
  std::size_t yes = 0;
  std::size_t no = 0;
  for (std::size_t column = 0; column < first.size(); ++column) {
    std::size_t values = 0;
    std::size_t others = 0;
    for (std::size_t row = 1; row < records.size(); ++row) {
      if (column >= records[row].size() || records[row][column].empty()) continue;
      ++(is_value(records[row][column]) ? values : others);
    }
    if (is_value(first[column])) {
      ++no;
    } else if (values > others && !first[column].empty()) {
      ++yes;
    }
  }
  return no == 0 || yes > no;
}

/// Fields in single quotes. An apostrophe at the beginning of one field and another at the end of a later one
/// look the same, and what is between them would be lost: so there has to be more.
bool has_single_quotes(std::string_view padded, bool whole, CsvDialect dialect) {
  dialect.quote = '\'';
  const Head quoted = split(padded, whole, dialect);
  if (quoted.enclosed == 0 || quoted.stray > 0 || quoted.unclosed || !quoted.regular()) return false;
  dialect.quote = '\0';
  const Head plain = split(padded, whole, dialect);
  const bool in_most = 2 * quoted.with_enclosed >= quoted.records.size();
  // A quote that nothing closes hides all that comes behind it.
  const bool same_lines = quoted.records.size() + 1 >= plain.records.size();
  const bool most_lines = 2 * quoted.records.size() >= plain.records.size();
  if (plain.regular()) {
    return in_most && same_lines && !quoted.spans_lines &&
           quoted.records.front().size() == plain.records.front().size();
  }
  return quoted.spans_lines ? in_most && most_lines : same_lines;
}

std::string to_utf8(std::string_view head, const std::string& encoding) {
  const auto source = transcoded(memory_source(std::string(head)), encoding, "the beginning of the file");
  std::string text = read_head(*source, 3 * head.size() + 1);
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  return text;
}

}  // namespace

CsvDialect sniff_csv(std::string_view head, bool whole, const CsvChoice& choice) {
  CsvDialect dialect;
  dialect.encoding = choice.encoding ? *choice.encoding : guess_encoding(head, whole).name;
  if (choice.nulls) dialect.nulls = *choice.nulls;
  dialect.comment = choice.comment;
  dialect.trim = choice.trim;
  dialect.max_record = choice.max_record.value_or(kMaxCsvRecord);

  const std::string padded = to_utf8(head, dialect.encoding) + std::string(CsvSplitter::kPadding, '\0');
  const bool backslashes = padded.find("\\\"") != padded.npos;
  Score best{-1, 0, 0};
  CsvDialect found = dialect;
  for (const char delimiter : kDelimiters) {
    if (choice.delimiter && delimiter != kDelimiters[0]) break;
    for (const bool backslash : {false, true}) {
      if (choice.backslash ? backslash != *choice.backslash : backslash && !backslashes) continue;
      dialect.delimiter = choice.delimiter.value_or(delimiter);
      dialect.backslash = backslash;
      dialect.quote = choice.quote.value_or('"');
      if (const Score score = score_of(split(padded, whole, dialect)); score > best) {
        best = score;
        found = dialect;
      }
    }
  }
  if (!choice.quote) {
    const Head doubled = split(padded, whole, found);
    if (doubled.enclosed == 0 && doubled.stray == 0 && has_single_quotes(padded, whole, found))
      found.quote = '\'';
  }
  found.header = choice.header ? *choice.header : looks_like_header(split(padded, whole, found).records);
  check_dialect(found);
  return found;
}

void check_dialect(const CsvDialect& dialect) {
  const auto refuse = [](const std::string& message) {
    throw Error(ExitCode::usage, message, "Choose characters that differ from each other.");
  };
  for (const char c : {dialect.delimiter, dialect.quote, dialect.comment}) {
    if (c == '\n' || c == '\r')
      refuse("the end of a line cannot be a delimiter, a quote or the sign of a comment");
  }
  if (dialect.delimiter == 0) refuse("a file of separated values has a delimiter");
  if (dialect.delimiter == dialect.quote) refuse("the delimiter and the quote are the same character");
  if (dialect.comment != 0 && (dialect.comment == dialect.quote || dialect.comment == dialect.delimiter))
    refuse("the sign of a comment is the delimiter or the quote");
  if (dialect.backslash && (dialect.delimiter == '\\' || dialect.quote == '\\'))
    refuse("the backslash is the delimiter or the quote, and it escapes");
  constexpr std::size_t kMost = std::size_t{1} << 30U;
  if (dialect.max_record == 0 || dialect.max_record > kMost)
    refuse(fmt::format("the limit of a record is {} bytes; it can be 1 to {}", dialect.max_record, kMost));
}

}  // namespace weir::load
