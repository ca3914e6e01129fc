#include "load/read/csv_reader.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <set>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "load/read/encoding_guess.h"

namespace weir::load {
namespace {

// Fits into a core's own cache, where the bytes are met three times: read, split, encoded.
constexpr std::size_t kChunk = std::size_t{256} << 10U;
constexpr std::size_t kLeastRead = std::size_t{64} << 10U;
constexpr std::size_t kMostRaw = std::size_t{64} << 10U;
constexpr std::size_t kMostNotices = 5;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

std::unique_ptr<ByteSource> without_mark(std::unique_ptr<ByteSource> source) {
  std::string head = read_head(*source, kByteOrderMark.size());
  if (head == kByteOrderMark) head.clear();
  return with_head(std::move(head), std::move(source));
}

}  // namespace

CsvReader::CsvReader(std::vector<Input> inputs, CsvChoice choice, std::stop_token stop)
    : inputs_(std::move(inputs)), choice_(std::move(choice)), stop_(std::move(stop)) {
  at_hand_ = step();
}

std::optional<Record> CsvReader::next() {
  if (!at_hand_ && !step()) return std::nullopt;
  at_hand_ = false;
  return record();
}

ReadProgress CsvReader::progress() const {
  const ReadProgress current = source_ ? source_->progress() : ReadProgress{};
  ReadProgress all{done_ + current.bytes, 0};
  if (inputs_.size() == 1) {
    all.total = std::max(current.total, inputs_[0].bytes.value_or(0));
    return all;
  }
  for (const Input& input : inputs_) {
    if (!input.bytes) return {all.bytes, 0};
    all.total += *input.bytes;
  }
  return all;
}

/// The next record of data, of whichever input has it.
bool CsvReader::step() {
  for (;;) {
    if (!splitter_ && !open_next()) return false;
    switch (splitter_->next()) {
      case CsvSplitter::Step::more: refill(); break;
      case CsvSplitter::Step::unclosed: fail_unclosed();
      case CsvSplitter::Step::record:
        if (!first_ || meet_first()) return true;
        break;
      case CsvSplitter::Step::end:
        done_ += source_->progress().bytes;
        source_.reset();
        splitter_.reset();
        break;
    }
  }
}

bool CsvReader::open_next() {
  if (next_input_ == inputs_.size()) return false;
  const Input& input = inputs_[next_input_++];
  source_ = input.open(stop_);
  std::string head = read_head(*source_, kCsvSniffBytes);
  const bool whole = head.size() < kCsvSniffBytes;
  if (!known_) {
    dialect_ = sniff_csv(head, whole, choice_);
    null_sizes_ = 0;
    for (const std::string& null : dialect_.nulls)
      null_sizes_ |= std::uint64_t{1} << std::min<std::size_t>(null.size(), 63);
    if (!choice_.quote && dialect_.quote == '\'') {
      notices_.push_back(fmt::format(
          "{}: read with ' as the quote, which is a guess (--quote says what it is)", printable(name())));
    }
  }
  const std::string encoding = encoding_of(head, whole);
  source_ = without_mark(transcoded(with_head(std::move(head), std::move(source_)), encoding, input.name));
  splitter_.emplace(dialect_);
  if (known_) splitter_->keep_fields(columns_.size());
  size_ = 0;
  first_ = true;
  return true;
}

/// Each file has its own.
std::string CsvReader::encoding_of(std::string_view head, bool whole) {
  if (choice_.encoding) return *choice_.encoding;
  EncodingGuess guess = guess_encoding(head, whole);
  if (guess.doubt.empty()) return std::move(guess.name);
  if (doubtful_encodings_++ < kMostNotices) {
    notices_.push_back(fmt::format("{}: {} (--encoding says what it is)", printable(name()), guess.doubt));
  }
  return std::move(guess.name);
}

std::vector<std::string> CsvReader::notices() const {
  std::vector<std::string> all = notices_;
  if (doubtful_encodings_ > kMostNotices)
    all.push_back(
        fmt::format("the encoding of {} more files is a guess", doubtful_encodings_ - kMostNotices));
  return all;
}

void CsvReader::refill() {
  std::size_t dropped = 0;
  if (capacity_ - size_ < kLeastRead) {
    dropped = splitter_->needed_from();
    size_ -= dropped;
    if (dropped > 0) std::memmove(buffer_.get(), buffer_.get() + dropped, size_);
    if (size_ > capacity_ / 2 || capacity_ == 0) {
      resize(std::max(kChunk, 2 * capacity_));
    } else if (capacity_ > kChunk && size_ < kLeastRead) {
      resize(kChunk);  // after a record of unusual length
    }
  }
  const std::size_t got = source_->read({buffer_.get() + size_, capacity_ - size_});
  size_ += got;
  splitter_->show(buffer_.get(), size_, dropped, got == 0);
}

void CsvReader::resize(std::size_t capacity) {
  // Large blocks are moved by the kernel, without a copy and without being there twice.
  void* const moved = std::realloc(buffer_.get(), capacity + CsvSplitter::kPadding);
  if (moved == nullptr) throw std::bad_alloc();
  static_cast<void>(buffer_.release());
  buffer_.reset(static_cast<char*>(moved));
  capacity_ = capacity;
}

/// The first record of an input, which may tell the columns; false when it was the header.
bool CsvReader::meet_first() {
  first_ = false;
  if ((splitter_->too_long() || splitter_->stray_at() != 0) && (dialect_.header || !known_)) {
    fail(fmt::format("{}, line {}: the first record does not tell the columns: {}", name(), splitter_->line(),
                     complaint()),
         "Say how the file is written (--delimiter, --quote), or repair the line.");
  }
  if (splitter_->field_count() > kMaxCsvColumns) {
    fail(fmt::format("{} has {} columns, and {} can be read", name(), splitter_->field_count(),
                     kMaxCsvColumns),
         "Say which delimiter the file has: --delimiter");
  }
  if (!dialect_.header) {
    if (known_) return true;
    for (std::size_t i = 1; i <= splitter_->field_count(); ++i)
      columns_.push_back(fmt::format("column_{}", i));
  } else if (std::vector<std::string> header = header_fields(); known_) {
    check_header(header);
    return false;
  } else {
    columns_ = csv_column_names(header);
    header_ = std::move(header);
  }
  known_ = true;
  cells_.resize(columns_.size());
  splitter_->keep_fields(columns_.size());
  return !dialect_.header;
}

std::vector<std::string> CsvReader::header_fields() {
  unescaped_.clear();
  unescaped_.reserve(splitter_->bytes().size());
  std::vector<std::string> fields;
  for (std::size_t i = 0; i < splitter_->field_count(); ++i) {
    fields.emplace_back(trim(splitter_->text(splitter_->field(i), unescaped_)));
    if (find_invalid_utf8(fields.back()) || fields.back().find('\0') != std::string::npos) {
      fail(fmt::format("{}, line {}: the name of column {} is no text in UTF-8: {}", name(),
                       splitter_->line(), i + 1, printable(fields.back())),
           "Say in which encoding the file is: --encoding");
    }
  }
  return fields;
}

void CsvReader::check_header(const std::vector<std::string>& header) const {
  const auto [ours, theirs] = std::mismatch(header_.begin(), header_.end(), header.begin(), header.end());
  if (ours == header_.end() && theirs == header.end()) return;
  const auto said = [](auto place, const auto& all) {
    return place == all.end() ? std::string("missing") : fmt::format("'{}'", printable(*place));
  };
  fail(fmt::format("{}: its header is not that of the files before it: column {} is {}, not {}", name(),
                   ours - header_.begin() + 1, said(theirs, header), said(ours, header_)),
       "Load files with other columns apart.");
}

Record CsvReader::record() {
  Record record;
  record.line = splitter_->line();
  record.file = name();
  record.raw = splitter_->bytes().substr(0, kMostRaw);
  if (!splitter_->too_long() && splitter_->stray_at() == 0 && splitter_->field_count() == columns_.size()) {
    fill_cells();
    record.cells = cells_;
  } else {
    malformed_ = complaint();
    record.malformed = malformed_;
    record.malformed_column = static_cast<std::uint32_t>(splitter_->stray_at());
  }
  return record;
}

std::string CsvReader::complaint() const {
  if (splitter_->too_long()) {
    return fmt::format("it is longer than {}, the most that a record may have (--max-record)",
                       human_bytes(dialect_.max_record));
  }
  if (splitter_->stray_at() != 0) {
    return fmt::format(
        "the quote that opens in line {}, column {} is closed in line {}, and other text follows; a quote "
        "inside of "
        "quotes is written twice",
        splitter_->quote_line(), splitter_->quote_column(), splitter_->stray_line());
  }
  return fmt::format("{} field{} where there are {} columns", splitter_->field_count(),
                     splitter_->field_count() == 1 ? "" : "s", columns_.size());
}

void CsvReader::fill_cells() {
  unescaped_.clear();
  bool room = false;
  for (std::size_t i = 0; i < cells_.size(); ++i) {
    const CsvField& field = splitter_->field(i);
    if (field.escaped && !room) {
      // At once: the views that were made must stay.
      unescaped_.reserve(splitter_->bytes().size());
      room = true;
    }
    const std::string_view text = splitter_->text(field, unescaped_);
    cells_[i] = {!field.quoted && is_null(text) ? Cell::Kind::null : Cell::Kind::text, text};
  }
}

bool CsvReader::is_in_nulls(std::string_view text) const noexcept {
  return std::find(dialect_.nulls.begin(), dialect_.nulls.end(), text) != dialect_.nulls.end();
}

void CsvReader::fail_unclosed() const {
  fail(fmt::format("{}: the quote that opens in line {}, column {} is never closed; the file ends in line {}",
                   name(), splitter_->quote_line(), splitter_->quote_column(), splitter_->current_line()),
       "The file was cut off, or that quote is a plain character: then close it, or read the file as one "
       "without "
       "quotes: --quote none");
}

void CsvReader::fail(const std::string& message, const std::string& remedy) const {
  throw Error(ExitCode::failed, printable(message), remedy);
}

std::vector<std::string> csv_column_names(const std::vector<std::string>& header) {
  std::vector<std::string> names;
  std::set<std::string> taken(header.begin(), header.end());
  std::set<std::string> used;
  for (std::size_t i = 0; i < header.size(); ++i) {
    const bool empty = header[i].empty();
    std::string name = empty ? fmt::format("column_{}", i + 1) : header[i];
    // Nobody's own name is given to another column.
    if (!empty && used.insert(name).second) {
      names.push_back(std::move(name));
      continue;
    }
    const std::string base = name;
    for (std::size_t n = 2; taken.contains(name); ++n) name = fmt::format("{}_{}", base, n);
    taken.insert(name);
    names.push_back(std::move(name));
  }
  return names;
}

}  // namespace weir::load
