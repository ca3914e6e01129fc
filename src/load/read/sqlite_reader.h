#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "load/read/record_reader.h"
#include "load/value/column_type.h"

struct sqlite3;
struct sqlite3_stmt;

namespace weir::load {

struct SqliteOptions {
  Duration busy_timeout = std::chrono::seconds(30);  ///< how long another's write lock is waited for
  /// A value beyond it ends the read: SQLite holds each value as a whole.
  std::size_t max_value_bytes = std::size_t{256} * 1024 * 1024;
};

/// A table or a query of an SQLite database, which is opened for reading alone. One statement, so one
/// snapshot.
class SqliteReader : public RecordReader {
 public:
  static std::string query_of_table(std::string_view name);

  SqliteReader(const std::filesystem::path& file, const std::string& query, SqliteOptions options = {});
  ~SqliteReader() override;

  [[nodiscard]] const std::vector<std::string>& columns() const override { return columns_; }
  /// What the table's definition says, to which SQLite does not keep values. Where it says nothing, or
  /// integers, and values that were read are REAL, that is what they are.
  [[nodiscard]] std::optional<ColumnType> hint(std::size_t column) const override;
  std::optional<Record> next() override;
  [[nodiscard]] ReadProgress progress() const override { return {.bytes = bytes_, .total = 0}; }

 private:
  struct CloseDatabase {
    void operator()(sqlite3* database) const noexcept;
  };
  struct CloseStatement {
    void operator()(sqlite3_stmt* statement) const noexcept;
  };

  void open(const SqliteOptions& options);
  void prepare(const std::string& query);
  void describe();
  /// Takes the value of the current row; answers what is wrong with it.
  std::string take(std::size_t column);
  [[nodiscard]] std::string tables() const;
  [[noreturn]] void fail(int code, std::string_view doing) const;

  std::filesystem::path file_;
  std::unique_ptr<sqlite3, CloseDatabase> database_;
  std::unique_ptr<sqlite3_stmt, CloseStatement> statement_;
  std::vector<std::string> columns_;
  std::vector<std::optional<ColumnType>> hints_;
  /// What the values of a column have been.
  struct Seen {
    bool real = false;
    bool other = false;  ///< what double precision would not keep
  };
  std::vector<Seen> seen_;
  std::vector<Cell> cells_;
  std::vector<std::string> numbers_;  // one for each column
  std::string reason_;
  std::uint64_t rows_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace weir::load
