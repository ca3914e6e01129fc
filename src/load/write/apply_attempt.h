#pragma once

#include <string>
#include <vector>

#include "load/write/apply.h"
#include "load/write/apply_meter.h"
#include "load/write/load_sql.h"
#include "pg/transaction.h"

namespace weir::load {

/// Somebody else wrote the rows between the difference and the write: the next attempt sees what they are
/// now.
struct Interference {
  std::string what;
};

/// What a row's own values can bring about: data exceptions, constraints, what triggers raise, CHECK OPTION.
bool is_of_a_row(const pg::Error& error);
/// Why, as parts of a sentence: all of it, or the detail alone.
std::string reason_of(const pg::Error& error);
std::string_view detail_of(const pg::Error& error);

/// One try of the apply transaction, up to but without its COMMIT. Used by one thread, once.
class ApplyAttempt {
 public:
  ApplyAttempt(pg::Session& session, const Target& target, const LoadSpec& spec, const Stage::Sealed& stage,
               const std::optional<StateChange>& state, const ApplyOptions& options, bool withhold_deletes);

  /// Locks, checks, writes, and records what it did and what it took so far.
  void run(pg::Transaction& transaction, const ApplyMeter& meter);
  /// Of run() the part that reads and cleans the stage; answers how many rows are good. For a swap.
  std::int64_t check();
  /// Throws where the table is not the one that was looked at. Once it is locked this holds until the end.
  void require_same_table();
  [[nodiscard]] Applied& result() noexcept { return applied_; }
  /// Deletes were done before it was known that rows of no key are refused.
  [[nodiscard]] bool must_withhold() const noexcept { return must_withhold_; }

 private:
  void lock(pg::Transaction& transaction);
  void require_same_target();
  void require_same_columns();
  void require_unchanged();
  void require_whole_stage();
  void screen();
  std::vector<std::size_t> misfit_columns();
  void screen_casts();
  std::int64_t reject(const std::string& sql);
  void judge_rejects();
  void append();
  void write_difference();
  void take_difference();
  void withhold();
  void guard_empty() const;
  void guard_fixed();
  void guard() const;
  [[nodiscard]] bool is_of_policy(const pg::Error& error) const;
  std::int64_t remove();
  std::vector<std::int64_t> write(const std::vector<std::string>& statements);
  void write_range(const std::vector<std::string>& statements, std::int64_t low, std::int64_t high,
                   std::vector<std::int64_t>& affected);
  void refuse_row(std::int64_t row, const pg::Error& error);
  void expect(std::int64_t affected, std::int64_t expected, const char* what) const;
  void record(const ApplyMeter& meter);
  void tell(ApplyEvent::Kind kind, std::string text = {}) const;
  std::int64_t number(const std::string& sql);

  pg::Session& session_;
  Target target_;  // as it is now
  const LoadSpec& spec_;
  const Stage::Sealed& stage_;
  const std::optional<StateChange>& state_;
  const ApplyOptions& options_;
  LoadSql sql_;
  Applied applied_;
  std::int64_t rows_ = 0;     // of the stage, that are good
  std::int64_t deletes_ = 0;  // of the difference
  std::int64_t updates_ = 0;
  std::int64_t inserts_ = 0;
  std::int64_t last_ = 0;          // the highest weir_n
  std::int64_t refused_rows_ = 0;  // by the server while writing
  std::int64_t unknown_keys_ = 0;
  std::vector<bool> changed_;
  bool withhold_deletes_;
  bool must_withhold_ = false;
};

}  // namespace weir::load
