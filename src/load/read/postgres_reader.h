#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "load/read/copy_text.h"
#include "load/read/record_reader.h"
#include "load/value/column_type.h"
#include "pg/copy.h"
#include "pg/transaction.h"

namespace weir::load {

/// A table or a query of any PostgreSQL that Weir can reach, by COPY .. TO STDOUT inside one transaction that
/// only reads: all of it comes from one snapshot. The session is closed when the reader goes.
class PostgresReader : public RecordReader {
 public:
  /// A table or view by its name as SQL takes it: `schema.table`, `"Mixed Case"`.
  static std::string query_of_table(const std::string& name) { return "SELECT * FROM " + name; }

  /// The session's time-out is for the longest wait for a row, and the first may take as long as a sort.
  /// `settings` hold for the query.
  PostgresReader(pg::Session session, std::string query,
                 const std::vector<std::pair<std::string, std::string>>& settings = {});

  [[nodiscard]] const std::vector<std::string>& columns() const override { return columns_; }
  /// What the server says of the column.
  [[nodiscard]] std::optional<ColumnType> hint(std::size_t column) const override {
    return types_.at(column);
  }
  std::optional<Record> next() override;
  [[nodiscard]] ReadProgress progress() const override { return {.bytes = bytes_, .total = 0}; }

 private:
  pg::Result ask(const std::string& query);
  void describe(const std::string& query);
  Cell cell(std::size_t column, std::string_view text);

  pg::Session session_;
  std::optional<pg::Transaction> transaction_;
  std::optional<pg::CopyOut> copy_;
  std::vector<std::string> columns_;
  std::vector<ColumnType> types_;
  CopyTextRow row_;
  std::vector<Cell> cells_;
  std::string decoded_;  // of bytea
  std::string reason_;
  std::uint64_t rows_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace weir::load
