#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "load/read/csv_dialect.h"
#include "load/read/csv_structure.h"

namespace weir::load {

inline constexpr std::size_t kMaxCsvColumns = 65536;

/// A field as a place in its record.
struct CsvField {
  std::uint32_t begin;
  std::uint32_t end;
  bool quoted;
  bool escaped;  ///< holds quotes or backslashes that stand for others
};

/// Finds records and their fields in bytes that come in pieces; it copies nothing. Whoever has the bytes
/// shows them as a window that it moves on.
class CsvSplitter {
 public:
  /// Bytes behind the window's end that can be read, whatever they are.
  static constexpr std::size_t kPadding = CsvStructure::kBlock;
  static constexpr std::size_t kKeptOfLong = std::size_t{64} << 10U;

  enum class Step {
    record,
    more,      ///< show more bytes
    end,       ///< of the last window
    unclosed,  ///< the end, and a quote is open since quote_line() and quote_column()
  };

  explicit CsvSplitter(const CsvDialect& dialect);

  /// The first `size_before - dropped` bytes are those it knows already, without the `dropped` first ones.
  void show(const char* data, std::size_t size, std::size_t dropped, bool last) noexcept;
  /// What it still needs begins there in the window.
  [[nodiscard]] std::size_t needed_from() const noexcept;
  Step next();

  // Of the record that was found, until the next call of next() or show():
  [[nodiscard]] std::uint64_t line() const noexcept { return found_.line; }
  /// Its bytes; of one that is too long those that begin it.
  [[nodiscard]] std::string_view bytes() const noexcept { return found_.bytes; }
  [[nodiscard]] bool too_long() const noexcept { return found_.too_long; }
  /// Bytes from its beginning to what stands behind a closing quote and should not; 0 where all is well.
  [[nodiscard]] std::uint64_t stray_at() const noexcept { return found_.stray_at; }
  [[nodiscard]] std::uint64_t stray_line() const noexcept { return found_.stray_line; }
  /// All that there are; no more than keep_fields() are kept.
  [[nodiscard]] std::size_t field_count() const noexcept { return count_; }
  [[nodiscard]] const CsvField& field(std::size_t index) const noexcept { return fields_[index]; }
  /// What the field says: a view of the bytes, or of `unescaped`, which it is appended to. That has to have
  /// room for it, or the views of the fields before are lost.
  [[nodiscard]] std::string_view text(const CsvField& field, std::string& unescaped) const {
    const std::string_view written(found_.bytes.data() + field.begin, field.end - field.begin);
    return field.escaped || trim_ ? text_apart(field, written, unescaped) : written;
  }
  void keep_fields(std::size_t most);

  [[nodiscard]] std::uint64_t quote_line() const noexcept { return quote_line_; }
  [[nodiscard]] std::uint64_t quote_column() const noexcept { return quote_column_; }
  /// The line that is being read.
  [[nodiscard]] std::uint64_t current_line() const noexcept { return line_; }

 private:
  using Place = std::ptrdiff_t;  // in the window; below 0 it is gone
  enum class State : std::uint8_t { plain, quoted, closed, stray, comment };

  struct Found {
    std::uint64_t line = 0;
    std::string_view bytes{};
    bool too_long = false;
    std::uint64_t stray_at = 0;
    std::uint64_t stray_line = 0;
  };

  [[nodiscard]] std::string_view text_apart(const CsvField& field, std::string_view written,
                                            std::string& unescaped) const;
  void open_quote(Place at) noexcept;
  void in_quotes(char c, Place at) noexcept;
  void behind_quotes(char c, Place at);
  void add(Place begin, Place end, bool quoted, bool escaped) {
    if (count_ >= fields_.size()) return add_more(begin, end, quoted, escaped);
    fields_[count_++] = {static_cast<std::uint32_t>(begin - record_),
                         static_cast<std::uint32_t>(end - record_), quoted, escaped};
  }
  void add_more(Place begin, Place end, bool quoted, bool escaped);
  Step out_of_bytes();
  Step at_the_end();
  void end_record(Place end);
  void begin_line(char c, Place at) noexcept;
  /// Whether there are only blanks from `from`, which may be gone, up to `to`.
  [[nodiscard]] bool blank(Place from, Place to) const noexcept;
  /// Nothing of a record was seen yet.
  [[nodiscard]] bool fresh() const noexcept { return count_ == 0 && field_ == record_; }
  void look_for_comment() noexcept;
  [[nodiscard]] std::size_t kept_of_long() const noexcept { return std::min(max_record_, kKeptOfLong); }

  CsvStructure structure_;
  char delimiter_;
  char quote_;
  bool has_escape_;
  char comment_;
  bool trim_;
  std::size_t max_record_;

  const char* data_ = nullptr;
  Place size_ = 0;
  bool last_ = false;
  Place block_ = 0;
  std::uint64_t marks_ = 0;  // of the block, those that were not looked at yet

  State state_ = State::plain;
  bool found_one_ = false;
  bool escaped_ = false;
  bool long_ = false;  // more than max_record: its bytes are no longer kept
  bool blank_before_ = false;
  Place record_ = 0;
  Place field_ = 0;
  Place quote_at_ = 0;
  Place closed_at_ = 0;
  Place escaped_at_ = -1;
  Place after_return_ =
      -1;  // the place behind the last carriage return: a line feed there ends no other line
  Place line_begin_ = 0;
  std::uint64_t line_ = 1;
  std::uint64_t record_line_ = 1;
  std::uint64_t quote_line_ = 0;
  std::uint64_t quote_column_ = 0;
  std::uint64_t stray_at_ = 0;
  std::uint64_t stray_line_ = 0;
  std::string long_head_;

  std::vector<CsvField> fields_;
  std::size_t count_ = 0;
  std::size_t most_fields_ = kMaxCsvColumns;
  Found found_;
};

}  // namespace weir::load
