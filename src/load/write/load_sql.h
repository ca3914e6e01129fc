#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "load/write/spec.h"
#include "load/write/stage_sql.h"
#include "load/write/target.h"

namespace weir::load {

/// The statements of a load; pure. The difference between target and stage lies in pg_temp.weir_diff: one row
/// for each row that is to be written, numbered in the order of the key (weir_n), with what is to be done
/// (weir_op: d, u, i) and the loaded columns as c0, c1, .. so that no name of the user's can collide.
class LoadSql {
 public:
  /// Which of the stage's values are cast to the target's types: text of types that the server alone reads,
  /// or all of them, where the stage has others.
  enum class Casts : std::uint8_t { others, all };
  LoadSql(const Target& target, const LoadSpec& spec, const StageTable& stage, Casts casts = Casts::others);

  [[nodiscard]] bool has_key() const noexcept { return !key_.empty(); }
  /// Indices of spec.columns.
  [[nodiscard]] const std::vector<std::size_t>& key() const noexcept { return key_; }
  /// Columns that travel as text, which the server has to cast.
  [[nodiscard]] std::vector<std::size_t> cast_columns() const;

  // In the stage. A row that is refused gets a negative weir_part, and its key with it protects the old row.
  /// Nothing when every column may be null.
  [[nodiscard]] std::optional<std::string> reject_nulls() const;
  [[nodiscard]] std::optional<std::string> reject_outside_window() const;
  [[nodiscard]] std::string reject_orphans(const ForeignKey& key) const;
  [[nodiscard]] std::string drop_duplicates() const;
  [[nodiscard]] std::string reject_duplicates() const;
  /// Raises what the server cannot cast, or answers for each of cast_columns() whether it would cut values.
  [[nodiscard]] std::string try_casts() const;
  [[nodiscard]] std::string misfit_function(std::size_t column) const;
  [[nodiscard]] std::string reject_misfits(std::size_t column) const;
  /// Rows that were refused before, whose key is none.
  [[nodiscard]] std::string forget_misfit_keys(std::size_t column) const;
  /// Refused rows whose key is null although it cannot be.
  [[nodiscard]] std::optional<std::string> count_unknown_keys() const;
  [[nodiscard]] std::string count_rows() const;
  /// Rows of the target (of the window), and of them those with a key that the stage has not at all.
  [[nodiscard]] std::string count_lost() const;

  // The difference.
  [[nodiscard]] std::string diff() const;
  /// All rows of the stage as inserts.
  [[nodiscard]] std::string diff_of_append() const;
  /// deletes, updates, inserts, and which columns change.
  [[nodiscard]] std::string count_diff() const;
  /// Rows that are there and would get another value in a column.
  [[nodiscard]] static std::string count_changed(std::size_t column);
  [[nodiscard]] std::string withhold_rejected_keys() const;
  [[nodiscard]] static std::string withhold_all();

  // Into the target. Those with a range take $1 and $2, bounds of weir_n.
  [[nodiscard]] std::string append() const;
  /// Or marks what is gone, where the load is one that does.
  [[nodiscard]] std::string remove() const;
  [[nodiscard]] std::string update(const std::vector<bool>& changed) const;
  [[nodiscard]] std::string insert() const;
  [[nodiscard]] std::string close_removed() const;
  [[nodiscard]] std::string close_changed() const;
  [[nodiscard]] std::string open_versions() const;
  /// How many versions that would be closed begin at or after the time they would end.
  [[nodiscard]] std::string count_backward() const;
  /// The time of a transaction's versions, where none is said: when it begins to write.
  [[nodiscard]] static std::string set_history_time();
  /// Row weir_n = $2 of the difference, into the rejects of run $1: column $3, sqlstate $4, reason $5.
  [[nodiscard]] std::string reject_row() const;

  /// spec.columns, quoted, with commas.
  [[nodiscard]] std::string column_list() const;
  /// The stage's values in the target's types, of alias s.
  [[nodiscard]] std::string given_list() const;
  /// " FROM .. s WHERE ..": what of the stage is to be written.
  [[nodiscard]] std::string from_stage() const;

 private:
  [[nodiscard]] const TargetColumn& column(std::size_t i) const { return *columns_[i]; }
  [[nodiscard]] std::string given(std::size_t i) const;
  [[nodiscard]] std::string compared(const std::string& value, std::size_t i) const;
  [[nodiscard]] std::string record(std::string_view alias) const;
  [[nodiscard]] std::string side(bool source) const;
  [[nodiscard]] std::string scope() const;
  [[nodiscard]] std::string join() const;
  [[nodiscard]] std::string matches_diff() const;
  [[nodiscard]] std::string key_list() const;
  [[nodiscard]] std::string earlier_of_key() const;
  [[nodiscard]] bool is_exact(std::size_t i) const;
  [[nodiscard]] bool needs_image(std::size_t i) const;
  [[nodiscard]] std::string differs_in(std::size_t i) const;
  [[nodiscard]] std::string differs_at_all() const;
  [[nodiscard]] std::string images_differ(const std::vector<std::size_t>& columns) const;
  [[nodiscard]] std::string rejecting(const std::string& where, const std::string& name,
                                      const std::string& sqlstate, const std::string& reason,
                                      bool keep_key = true) const;
  [[nodiscard]] std::string conflict_clause() const;
  [[nodiscard]] std::string history_time() const;
  [[nodiscard]] bool is_key(std::size_t i) const;
  /// GENERATED ALWAYS AS IDENTITY: it is given once, and no UPDATE takes it.
  [[nodiscard]] bool is_fixed(std::size_t i) const { return column(i).identity == 'a'; }
  [[nodiscard]] std::string_view overriding() const;
  [[nodiscard]] bool is_compared(std::size_t i) const;
  [[nodiscard]] bool marks_deleted() const;
  [[nodiscard]] std::size_t deleted_at() const;  // its place in spec.columns

  const Target* target_;
  const LoadSpec* spec_;
  StageTable stage_;
  Casts casts_;
  std::string line_;  // of the stage, with its alias s
  std::string part_;
  std::vector<const TargetColumn*> columns_;
  std::vector<std::size_t> key_;
  bool plain_key_ = true;  // no column of it can be null
};

}  // namespace weir::load
