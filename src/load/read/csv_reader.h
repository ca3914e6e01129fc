#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "load/read/byte_source.h"
#include "load/read/csv_dialect.h"
#include "load/read/csv_splitter.h"
#include "load/read/record_reader.h"

namespace weir::load {

/// Records of one or several files of separated values. The first file that holds anything says how they are
/// written and what their columns are; each later one must have the same header.
///
/// Cells are text or null. Empty lines are passed over. A column without a name is called column_N, and of
/// equal names the later ones get a number: "rate", "rate_2".
class CsvReader final : public RecordReader {
 public:
  /// Opens the first input and reads its header.
  CsvReader(std::vector<Input> inputs, CsvChoice choice, std::stop_token stop);
  CsvReader(const CsvReader&) = delete;
  CsvReader& operator=(const CsvReader&) = delete;
  ~CsvReader() override = default;

  [[nodiscard]] const std::vector<std::string>& columns() const override { return columns_; }
  std::optional<Record> next() override;
  [[nodiscard]] ReadProgress progress() const override;
  /// A quote that is a guess, and files whose encoding is one; of many, the first.
  [[nodiscard]] std::vector<std::string> notices() const override;

  /// What was found out, or said.
  [[nodiscard]] const CsvDialect& dialect() const noexcept { return dialect_; }

 private:
  struct Free {
    void operator()(char* bytes) const noexcept { std::free(bytes); }
  };

  bool step();
  bool open_next();
  std::string encoding_of(std::string_view head, bool whole);
  void refill();
  void resize(std::size_t capacity);
  bool meet_first();
  [[nodiscard]] std::vector<std::string> header_fields();
  void check_header(const std::vector<std::string>& header) const;
  Record record();
  void fill_cells();
  [[nodiscard]] bool is_null(std::string_view text) const noexcept {
    return (null_sizes_ >> std::min<std::size_t>(text.size(), 63) & 1U) != 0 && is_in_nulls(text);
  }
  [[nodiscard]] bool is_in_nulls(std::string_view text) const noexcept;
  /// Why the record is none.
  [[nodiscard]] std::string complaint() const;
  [[noreturn]] void fail_unclosed() const;
  [[noreturn]] void fail(const std::string& message, const std::string& remedy) const;
  [[nodiscard]] const std::string& name() const { return inputs_[next_input_ - 1].name; }

  std::vector<Input> inputs_;
  CsvChoice choice_;
  std::stop_token stop_;
  CsvDialect dialect_;
  std::uint64_t null_sizes_ = 0;  // a bit for each size that a null text has; the last for all longer ones
  std::size_t next_input_ = 0;
  std::unique_ptr<ByteSource> source_;
  std::uint64_t done_ = 0;  // bytes of the inputs that are behind us

  std::unique_ptr<char, Free> buffer_;
  std::size_t capacity_ = 0;
  std::size_t size_ = 0;
  std::optional<CsvSplitter> splitter_;
  bool first_ = false;    // of its input: the next record is
  bool at_hand_ = false;  // the splitter holds a record that nobody was given

  bool known_ = false;
  std::vector<std::string> columns_;
  std::vector<std::string> header_;  // as it is written: what the next files are held to
  std::vector<Cell> cells_;
  std::string unescaped_;
  std::string malformed_;
  std::vector<std::string> notices_;
  std::size_t doubtful_encodings_ = 0;
};

/// What columns are called whose header has names that are empty or equal.
std::vector<std::string> csv_column_names(const std::vector<std::string>& header);

}  // namespace weir::load
