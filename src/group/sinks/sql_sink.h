#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "group/sink.h"

namespace weir::group {

/// The user's SQL, which finds its batch as the relation weir_batch, in the transaction of the batch's
/// status.
class SqlSink final : public Sink {
 public:
  struct Options {
    std::string sql;
    std::string search_path;  ///< for the user's SQL alone, as SET takes it; empty leaves it as it is
    std::optional<Duration> timeout{};  ///< of the user's SQL; none: as the server has it
  };
  explicit SqlSink(const Options& options);

  [[nodiscard]] Place place() const noexcept override { return Place::inside; }
  [[nodiscard]] bool needs_payload() const noexcept override { return false; }
  work::Outcome apply(const Batch& batch, const Application& application) override;

 private:
  std::string script_;
};

/// Throws where the SQL cannot work at all. Queries are not run for that; what can only be run is, for a few
/// seconds and without a batch, and undone.
void check_batch_sql(pg::Session& session, const SqlSink::Options& options);

/// SQL that failed for what is in the batch: another attempt would fail as well.
bool is_fault_of_data(std::string_view sqlstate) noexcept;
/// The same of rows that go into a table by the names of its columns: one that it has not, or computes
/// itself.
bool is_fault_of_rows(std::string_view sqlstate) noexcept;

}  // namespace weir::group
