#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "pg/error.h"
#include "pg/oid.h"

struct pg_result;  // libpq's PGresult

namespace weir::pg {

class Row;

/// What the server answered to one statement. Owns its memory; views handed out by its rows live as long as
/// it. Read-only, so any thread may read it.
class Result {
 public:
  enum class Status { command, tuples, copy_in, copy_out, pipeline_sync, pipeline_aborted, empty, error };

  explicit Result(pg_result* owned) noexcept : result_(owned) {}

  [[nodiscard]] Status status() const noexcept;
  [[nodiscard]] int rows() const noexcept;
  [[nodiscard]] int columns() const noexcept;
  [[nodiscard]] std::string_view column_name(int column) const noexcept;
  [[nodiscard]] Oid column_type(int column) const noexcept;
  /// Such as the length of a varchar(n); -1 for a type without.
  [[nodiscard]] std::int32_t column_modifier(int column) const noexcept;
  [[nodiscard]] bool is_null(int row, int column) const noexcept;
  [[nodiscard]] std::string_view bytes(int row, int column) const noexcept;
  /// Rows that the command touched; 0 for one that touches none.
  [[nodiscard]] std::int64_t affected() const noexcept;
  /// The command tag, such as "INSERT 0 1" or, after a COMMIT that failed earlier, "ROLLBACK".
  [[nodiscard]] std::string_view command() const noexcept;

  /// Of a described statement.
  [[nodiscard]] int parameters() const noexcept;
  [[nodiscard]] Oid parameter_type(int index) const noexcept;

  /// Only for Status::error.
  [[nodiscard]] ErrorInfo error() const;

  /// For messages; set by the session, views a name that outlives it.
  [[nodiscard]] std::string_view query() const noexcept { return query_; }
  void set_query(std::string_view name) noexcept { query_ = name; }

  [[nodiscard]] Row operator[](int row) const noexcept;

  class Iterator;
  [[nodiscard]] Iterator begin() const noexcept;
  [[nodiscard]] Iterator end() const noexcept;

 private:
  struct Clear {
    void operator()(pg_result* result) const noexcept;
  };
  std::unique_ptr<pg_result, Clear> result_;
  std::string_view query_;
};

}  // namespace weir::pg
