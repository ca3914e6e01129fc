#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pg/params.h"
#include "queue/adopt_definition.h"

namespace weir::queue {

/// The statements on the user's table. Pure: what they are made of is text that adopt() has checked, quoted,
/// and the user's own expressions. The row is called `weir_row` in them.
class AdoptSql {
 public:
  explicit AdoptSql(const Adopted& adopted);

  struct Claim {
    bool marked = false;     ///< only rows from the low-water mark on
    bool excluding = false;  ///< without the rows that are held back
    bool lock = true;        ///< false for EXPLAIN, which users without UPDATE may do, too
  };
  /// Rows: identity, mark, payload, then key_width() texts that mark_done() takes. Parameters:
  /// claim_params(). FOR NO KEY UPDATE keeps consumers apart as FOR UPDATE does, and lets others go on to
  /// insert rows that refer to ours: a command that did so on a session of its own would wait for us, who
  /// wait for it.
  [[nodiscard]] std::string claim(Claim claim) const;
  /// `mark` and `excluded` are for claims that have them; what they refer to must outlive the parameters.
  static pg::Params claim_params(std::int64_t limit, const std::optional<std::string>& mark,
                                 const std::vector<std::string>& excluded);

  /// Whether a row is left that is not done, locked by others or not. Parameter, if excluding: identities.
  [[nodiscard]] std::string left(bool excluding) const;

  /// Parameters: key_width() arrays of text.
  [[nodiscard]] std::string mark_done() const;
  /// Is SQL, with the parameters of mark_done(), only where the user's expression stands by itself: what has
  /// a parenthesis too many would change the statements that it is put into.
  [[nodiscard]] std::string alone(const std::string& expression) const;
  /// The same, and one array of errors behind them.
  [[nodiscard]] std::string mark_failed() const;
  /// How many of the rows are not done; parameters as for mark_done().
  [[nodiscard]] std::string still_pending() const;

  /// "NOT "processed"": for a partial index.
  [[nodiscard]] const std::string& pending_for_index() const noexcept { return index_pending_; }
  /// The columns of --order-by as an index lists them.
  [[nodiscard]] const std::string& order() const noexcept { return index_order_; }
  [[nodiscard]] const std::string& table() const noexcept { return table_; }
  [[nodiscard]] std::size_t key_width() const noexcept { return key_texts_.size(); }
  /// False where rows are known by their place.
  [[nodiscard]] bool has_key() const noexcept { return has_key_; }

 private:
  [[nodiscard]] std::string join_keys() const;
  [[nodiscard]] std::string keys_from(std::size_t extra) const;

  std::string table_;
  std::string pending_;
  std::string index_pending_;
  std::string order_;
  std::string index_order_;
  std::string mark_;
  std::string mark_condition_;
  std::string identity_;
  std::string payload_;
  std::string assignments_;
  std::string failed_;
  std::vector<std::string> key_texts_;  // each as text
  std::vector<std::string> key_joins_;  // each compared with its text
  bool has_key_ = true;
};

}  // namespace weir::queue
