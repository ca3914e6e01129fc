#include "load/read/csv_splitter.h"

#include <algorithm>
#include <bit>

namespace weir::load {
namespace {

constexpr bool is_blank(char c) noexcept { return c == ' ' || c == '\t'; }
constexpr bool ends_line(char c) noexcept { return c == '\n' || c == '\r'; }

std::string_view trim_blanks(std::string_view text) noexcept {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace

CsvSplitter::CsvSplitter(const CsvDialect& dialect)
    // What there is not is looked for as a delimiter, which costs nothing and changes nothing.
    : structure_(dialect.delimiter, dialect.quote == 0 ? dialect.delimiter : dialect.quote,
                 dialect.backslash ? '\\' : dialect.delimiter),
      delimiter_(dialect.delimiter),
      quote_(dialect.quote == 0 ? dialect.delimiter : dialect.quote),
      has_escape_(dialect.backslash),
      comment_(dialect.comment),
      trim_(dialect.trim),
      max_record_(dialect.max_record) {}

void CsvSplitter::keep_fields(std::size_t most) {
  most_fields_ = most;
  if (fields_.size() <= most) return;
  fields_.resize(most);
  fields_.shrink_to_fit();
}

void CsvSplitter::show(const char* data, std::size_t size, std::size_t dropped, bool last) noexcept {
  const auto gone = static_cast<Place>(dropped);
  for (Place* place : {&record_, &field_, &quote_at_, &closed_at_, &line_begin_, &size_}) *place -= gone;
  // These two are looked for by value, and -1 is none: what is gone must not come back as one of them.
  for (Place* place : {&escaped_at_, &after_return_}) *place = *place < gone ? -1 : *place - gone;
  // The marks behind the old end were of bytes that did not belong to it.
  block_ = size_ - static_cast<Place>(CsvStructure::kBlock);
  marks_ = 0;
  data_ = data;
  size_ = static_cast<Place>(size);
  last_ = last;
}

std::size_t CsvSplitter::needed_from() const noexcept {
  return static_cast<std::size_t>(long_ ? size_ : std::min(record_, size_));
}

CsvSplitter::Step CsvSplitter::next() {
  if (found_one_) {
    found_one_ = false;
    count_ = 0;
  }
  for (;;) {
    while (marks_ == 0) {
      if (block_ + static_cast<Place>(CsvStructure::kBlock) >= size_) return out_of_bytes();
      block_ += static_cast<Place>(CsvStructure::kBlock);
      marks_ = structure_.find(data_ + block_);
    }
    const Place at = block_ + std::countr_zero(marks_);
    if (at >= size_) {
      marks_ = 0;
      return out_of_bytes();
    }
    marks_ &= marks_ - 1;
    const char c = data_[at];
    if (comment_ != 0 && state_ == State::plain && fresh()) look_for_comment();
    switch (state_) {
      case State::plain:
        if (c == delimiter_) {
          add(field_, at, false, false);
          field_ = at + 1;
          continue;
        }
        if (!ends_line(c)) {
          if (c == quote_ && (field_ == at || (trim_ && blank(field_, at)))) open_quote(at);
          continue;
        }
        if (count_ == 0 && (field_ == at || (trim_ && blank(field_, at)))) {
          begin_line(c, at);  // an empty one
          continue;
        }
        add(field_, at, false, false);
        break;
      case State::quoted: in_quotes(c, at); continue;
      case State::closed:
        behind_quotes(c, at);
        if (state_ == State::quoted || !ends_line(c)) continue;
        break;
      case State::stray:
        if (!ends_line(c)) continue;
        break;
      case State::comment:
        if (ends_line(c)) begin_line(c, at);
        continue;
    }
    end_record(at);
    begin_line(c, at);
    return Step::record;
  }
}

void CsvSplitter::open_quote(Place at) noexcept {
  state_ = State::quoted;
  escaped_ = false;
  quote_at_ = at;
  quote_line_ = line_;
  quote_column_ = static_cast<std::uint64_t>(at - line_begin_ + 1);
}

void CsvSplitter::in_quotes(char c, Place at) noexcept {
  if (at == escaped_at_ && (c == quote_ || c == '\\')) {
    escaped_ = true;
  } else if (c == quote_) {
    state_ = State::closed;
    closed_at_ = at;
  } else if (has_escape_ && c == '\\') {
    escaped_at_ = at + 1;
  } else if (ends_line(c)) {
    if (c == '\r' || at != after_return_) ++line_;
    if (c == '\r') after_return_ = at + 1;
    line_begin_ = at + 1;
  }
}

void CsvSplitter::behind_quotes(char c, Place at) {
  const bool adjacent = at == closed_at_ + 1;
  if (adjacent && c == quote_) {
    state_ = State::quoted;
    escaped_ = true;
  } else if ((c == delimiter_ || ends_line(c)) && (adjacent || (trim_ && blank(closed_at_ + 1, at)))) {
    add(quote_at_ + 1, closed_at_, true, escaped_);
    field_ = at + 1;
    state_ = State::plain;
  } else {
    state_ = State::stray;
    stray_at_ = static_cast<std::uint64_t>(closed_at_ + 2 - record_);
    stray_line_ = line_;
  }
}

void CsvSplitter::add_more(Place begin, Place end, bool quoted, bool escaped) {
  // Of a record that is too long the places are of no use, and it may have as many fields as bytes.
  if (count_ < most_fields_ && !long_) {
    fields_.push_back({static_cast<std::uint32_t>(begin - record_), static_cast<std::uint32_t>(end - record_),
                       quoted, escaped});
  }
  ++count_;
}

void CsvSplitter::end_record(Place end) {
  const auto size = static_cast<std::size_t>(end - record_);
  found_.line = record_line_;
  found_.too_long = size > max_record_;
  found_.bytes = long_ ? std::string_view(long_head_)
                       : std::string_view(data_ + record_, found_.too_long ? kept_of_long() : size);
  found_.stray_at = stray_at_;
  found_.stray_line = stray_line_;
  found_one_ = true;
  long_ = false;
  stray_at_ = 0;
}

/// Behind the line's end `c`.
void CsvSplitter::begin_line(char c, Place at) noexcept {
  // The line feed of CR LF ends what was ended before.
  if (c == '\r' || at != after_return_) ++line_;
  if (c == '\r') after_return_ = at + 1;
  record_ = field_ = line_begin_ = at + 1;
  record_line_ = line_;
  state_ = State::plain;
  long_ = false;
}

CsvSplitter::Step CsvSplitter::out_of_bytes() {
  if (comment_ != 0 && state_ == State::plain && fresh()) look_for_comment();
  if (last_) return at_the_end();
  if (!long_ && static_cast<std::size_t>(size_ - record_) > max_record_) {
    long_head_.assign(data_ + record_, kept_of_long());
    long_ = true;
  }
  if (long_ && trim_) blank_before_ = blank(state_ == State::closed ? closed_at_ + 1 : field_, size_);
  return Step::more;
}

CsvSplitter::Step CsvSplitter::at_the_end() {
  switch (state_) {
    case State::quoted: return Step::unclosed;
    case State::comment: return Step::end;
    case State::plain:
      if (count_ == 0 && (field_ == size_ || (trim_ && blank(field_, size_)))) return Step::end;
      add(field_, size_, false, false);
      break;
    case State::closed: behind_quotes('\n', size_); break;
    case State::stray: break;
  }
  end_record(size_);
  record_ = field_ = size_;
  state_ = State::plain;
  return Step::record;
}

void CsvSplitter::look_for_comment() noexcept {
  if (record_ >= 0 && record_ < size_ && data_[record_] == comment_) state_ = State::comment;
}

std::string_view CsvSplitter::text_apart(const CsvField& field, std::string_view written,
                                         std::string& unescaped) const {
  if (!field.quoted) return trim_ ? trim_blanks(written) : written;
  if (!field.escaped) return written;
  const std::size_t begin = unescaped.size();
  for (std::size_t at = 0; at < written.size(); ++at) {
    const char next = at + 1 < written.size() ? written[at + 1] : '\0';
    const bool pair =
        next != '\0' && ((written[at] == quote_ && next == quote_) ||
                         (has_escape_ && written[at] == '\\' && (next == quote_ || next == '\\')));
    if (pair) ++at;
    unescaped.push_back(written[at]);
  }
  return std::string_view(unescaped).substr(begin);
}

bool CsvSplitter::blank(Place from, Place to) const noexcept {
  if (from < 0 && !blank_before_) return false;
  return std::all_of(data_ + std::max<Place>(from, 0), data_ + std::max<Place>(to, 0), is_blank);
}

}  // namespace weir::load
