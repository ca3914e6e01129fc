#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "work/handler.h"

namespace weir::work {

struct SqlOptions {
  std::string sql;                    ///< one statement or several, without COMMIT, ROLLBACK or SAVEPOINT
  std::string relation = "weir_job";  ///< the temporary table that has the batch
  std::string search_path;            ///< for the user's SQL alone, as SET takes it; empty leaves it as it is
  std::optional<Duration> timeout{};  ///< of a run of the user's SQL; none: the batch's or the server's
};

/// Runs the user's SQL once for a batch, in the transaction that the outcomes commit with. What fails is
/// rolled back to a savepoint and tried in halves, until the items are found that are to blame: those fail,
/// the others are done (blame_for()). So is a run that takes too long, by its own limit or the batch's, of
/// which the shorter one holds. An error that no item can be blamed for, or that comes without any item as
/// well, is thrown, and with it all of the transaction has to go. What only COMMIT would find (deferred
/// constraints) is for the caller to look for.
class SqlHandler final : public Handler {
 public:
  explicit SqlHandler(const SqlOptions& options);

  void run(Batch& batch) override;
  /// Tries the SQL on nothing, in a transaction that is undone: refuses (definition) what cannot work at all.
  void check(pg::Session& session) const;
  [[nodiscard]] bool undoes_failures() const noexcept override { return true; }

 private:
  void make_relation(pg::Session& session) const;
  void fill(pg::Session& session, const std::vector<const Item*>& items) const;
  void fill_small(pg::Session& session, const std::vector<const Item*>& items) const;
  [[nodiscard]] bool works_without_items(pg::Session& session, const std::string& script) const;

  std::string sql_;
  std::string relation_name_;
  std::string relation_;  // quoted, with its schema
  std::string script_;    // without a limit
  std::optional<Duration> timeout_;
};

}  // namespace weir::work
