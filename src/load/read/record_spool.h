#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "load/read/record_reader.h"

namespace weir::load {

/// Records that wait on disk, in a file without a name ($TMPDIR, /var/tmp) that is there while there are
/// some. Its columns may become more while it fills.
class RecordSpool {
 public:
  /// What the cells of the records that follow are. Columns of records before stay; where there are none,
  /// these are all.
  void use(const std::vector<std::string>& columns);
  /// A column that is null in all of them.
  void use_also(const std::string& column);
  /// Throws when there is no room on the disk.
  void add(const Record& record);

  [[nodiscard]] const std::vector<std::string>& columns() const noexcept { return columns_; }
  [[nodiscard]] std::uint64_t records() const noexcept { return records_; }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }

  /// From the first one. The spool outlives it, and gets nothing meanwhile; one reader at a time.
  std::unique_ptr<RecordReader> read();
  void clear() noexcept;

 private:
  class Reader;
  struct Close {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };
  void put(std::string_view text);

  std::unique_ptr<std::FILE, Close> file_;
  std::vector<std::string> columns_;
  std::vector<std::size_t> place_;  // of each cell that comes
  std::vector<Cell> row_;
  std::string line_;
  std::uint64_t records_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace weir::load
