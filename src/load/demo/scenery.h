#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "load/demo/figures.h"
#include "load/read/record_reader.h"
#include "pg/connector.h"

namespace weir::load::demo {

inline constexpr const char* kTable = "weir_demo.rates";
inline constexpr const char* kKey = "id";

// What the table holds. A generation differs from the one before in one row of a hundred: those whose id ends
// in its number's last two digits. Each row is marked with the generation that changed it last, so the marks
// of any hundred rows in a row tell which generation they are of, and whether they all are of one.

/// Reads are of so many rows from a multiple of it on.
inline constexpr std::int64_t kSlice = 2000;
std::int64_t mark_of(std::int64_t id, std::int64_t generation) noexcept;
/// Of a hundred rows.
std::int64_t sum_of_marks(std::int64_t generation) noexcept;
/// What a read of `wanted` rows that found this was.
ReadRecord::Seen judge(std::int64_t wanted, std::int64_t count, std::int64_t sum,
                       std::int64_t highest) noexcept;

/// A generation as a source of a load.
class GenerationReader : public RecordReader {
 public:
  GenerationReader(std::int64_t rows, std::int64_t generation);
  [[nodiscard]] const std::vector<std::string>& columns() const override { return columns_; }
  std::optional<Record> next() override;
  [[nodiscard]] ReadProgress progress() const override { return {}; }

 private:
  std::vector<std::string> columns_;
  std::int64_t rows_;
  std::int64_t generation_;
  std::int64_t id_ = 0;
  std::vector<std::string> texts_;
  std::vector<Cell> cells_;
};

/// Inserts a generation, $1 rows of generation $2.
extern const char* const kInsertGeneration;

/// Schema weir_demo, of one demo at a time, gone at the end of the scope.
class Scenery {
 public:
  /// `rows` is rounded up to whole slices.
  Scenery(std::shared_ptr<const pg::Connector> connector, int rows, std::stop_token stop);
  ~Scenery();
  Scenery(const Scenery&) = delete;
  Scenery& operator=(const Scenery&) = delete;

  /// The table anew, in generation 0.
  void fill();

  [[nodiscard]] pg::Session connect() const;
  [[nodiscard]] const std::shared_ptr<const pg::Connector>& connector() const noexcept { return connector_; }
  [[nodiscard]] std::int64_t rows() const noexcept { return rows_; }
  [[nodiscard]] const std::stop_token& stop() const noexcept { return stop_; }

 private:
  std::shared_ptr<const pg::Connector> connector_;
  std::int64_t rows_;
  std::stop_token stop_;
  pg::Session holder_;  ///< of the lock that keeps other demos away
};

}  // namespace weir::load::demo
