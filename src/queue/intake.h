#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "pg/session.h"
#include "pg/transaction.h"

namespace weir::queue {

/// What a job is besides its payload.
struct JobSpec {
  std::string queue;
  std::string kind;
  int priority = 0;
  std::optional<WallTime> run_at;
  std::optional<Duration> delay;
  std::optional<int> max_attempts;
  std::optional<std::string> unique_key;
  std::optional<Duration> unique_for;
  std::string if_exists = "ignore";
  std::optional<std::string> limit_key;
  std::optional<WallTime> deadline;
};

/// Answers the id of the job, or of the one that has the unique key.
std::int64_t enqueue_one(pg::Session& session, const JobSpec& spec, std::string_view payload);

/// As PostgreSQL reads a time ("2026-12-24 08:00+01", "tomorrow"). Throws the usage error.
WallTime read_time(pg::Session& session, std::string_view what, const std::string& text);

/// Takes jobs of one kind one by one and sends them in batches, in one transaction for all of them, or in one
/// for every `commit_every`. What is not committed at its end is undone. Memory is bounded, however many
/// come.
class Intake {
 public:
  /// `spec` without a unique key.
  Intake(pg::Session& session, JobSpec spec, std::optional<std::int64_t> commit_every);

  /// `line`, of standard input, names it in errors. Throws the error that names the line and what was kept:
  /// usage where the payload cannot be one, failed where the server refused it.
  void add(std::int64_t line, std::string payload);
  /// Commits; answers how many there are in all.
  std::int64_t finish();

  [[nodiscard]] std::int64_t committed() const noexcept { return committed_; }
  [[nodiscard]] std::optional<std::int64_t> first_id() const noexcept { return first_id_; }
  [[nodiscard]] std::optional<std::int64_t> last_id() const noexcept { return last_id_; }
  /// "nothing was enqueued", or what was before the error.
  [[nodiscard]] std::string kept() const;

 private:
  void send();
  [[nodiscard]] std::vector<std::int64_t> write();
  void commit();

  pg::Session& session_;
  JobSpec spec_;
  std::optional<std::int64_t> commit_every_;
  std::optional<pg::Transaction> transaction_;
  std::vector<std::string> payloads_;
  std::size_t bytes_ = 0;
  std::int64_t first_line_ = 0;  ///< of payloads_
  std::int64_t last_line_ = 0;
  std::int64_t sent_ = 0;  ///< and not committed
  std::int64_t committed_ = 0;
  std::int64_t committed_line_ = 0;
  std::optional<std::int64_t> first_id_;
  std::optional<std::int64_t> last_id_;
};

}  // namespace weir::queue
