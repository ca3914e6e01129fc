#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pg/session.h"
#include "pg/transaction.h"

// Batches that come in by this program; others call weir.submit_batch() in transactions of their own.

namespace weir::group {

struct NewBatch {
  std::string tenant;
  std::string key;
  std::string payload;             ///< JSON
  std::optional<std::string> run;  ///< without: a run of its own
  std::optional<std::int32_t> idx;
  std::optional<bool> final;
  std::string feed = "default";
  std::optional<std::int64_t> rows;
  std::optional<std::int64_t> bytes;
  bool supersede = false;
};
/// Answers its id, "17.0". Throws what the server says against it, with what to do.
std::string submit(pg::Session& session, const NewBatch& batch);

/// Takes batches one by one, as lines of JSON, and submits them in their order, in a transaction for every
/// `commit_every`. What is not committed at its end is undone. Memory is bounded, however many come.
class Intake {
 public:
  Intake(pg::Session& session, std::string feed, std::int64_t commit_every);

  /// An object with tenant, key and payload, and what else a batch may have: well-formed, the caller has
  /// looked. `number` names it in errors. Throws the error that names the line and what was kept.
  void add(std::int64_t number, std::string line);
  /// Commits; answers how many there are in all.
  std::int64_t finish();

  [[nodiscard]] std::int64_t committed() const noexcept { return committed_; }
  [[nodiscard]] const std::optional<std::string>& first_id() const noexcept { return first_id_; }
  [[nodiscard]] const std::optional<std::string>& last_id() const noexcept { return last_id_; }
  /// "nothing was submitted", or what was before the error.
  [[nodiscard]] std::string kept() const;

 private:
  struct Line {
    std::int64_t number = 0;
    std::string text;
  };
  void send();
  void write(const std::vector<Line>& lines);
  /// After an error of the server that may be about any of them.
  void write_one_by_one();
  void commit();

  pg::Session& session_;
  std::string feed_;
  std::int64_t commit_every_;
  std::optional<pg::Transaction> transaction_;
  std::vector<Line> lines_;
  std::size_t bytes_ = 0;
  std::int64_t sent_ = 0;  ///< and not committed
  std::int64_t last_line_ = 0;
  std::int64_t committed_ = 0;
  std::int64_t committed_line_ = 0;
  std::optional<std::string> first_id_;
  std::optional<std::string> last_id_;
};

}  // namespace weir::group
