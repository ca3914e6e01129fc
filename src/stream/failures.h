#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pg/session.h"
#include "stream/group_definition.h"
#include "stream/group_work.h"
#include "stream/stream_sql.h"
#include "work/outcome.h"

namespace weir::stream {

/// What became of the events that were not done, to be written in the transaction that ends them.
class Failures {
 public:
  explicit Failures(const GroupDefinition& group) : group_(group) {}

  /// `number` as in GroupWork; `attempt` is the one that has just ended, counted from 1.
  void add(std::int64_t number, const work::Outcome& outcome, int attempt);
  /// Not tried, because of others: later, and it does not count.
  void put_off(std::int64_t number, std::string why, int attempt);
  /// Since the beginning.
  [[nodiscard]] std::size_t dead() const noexcept { return dead_; }
  [[nodiscard]] std::size_t again() const noexcept { return again_; }
  /// Ends this work: what failed of it becomes, or stays, a letter; the rest is done.
  void write(pg::Session& session, const StreamSql& sql, const GroupWork& work);

 private:
  void push(std::int64_t number, int attempt, std::optional<Duration> delay, std::string_view error);

  const GroupDefinition& group_;
  std::vector<std::int64_t> numbers_;
  std::vector<std::int16_t> attempts_;
  std::vector<std::optional<std::int64_t>> delays_ms_;
  std::vector<std::string> errors_;
  std::size_t dead_ = 0;
  std::size_t again_ = 0;
};

}  // namespace weir::stream
