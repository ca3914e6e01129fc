#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "load/router.h"
#include "load/shape.h"
#include "load/write/stage.h"

namespace weir::load {

/// What becomes of a load's shape while it is read: of a column that comes behind the sample, and of a value
/// that its column does not hold. It says what the stage has to become; what the target is to get is in the
/// shape, and comes when the stage is sealed.
///
/// A type change writes the stage anew. So the records behind are looked at too; after kStepwise changes a
/// column that the load makes becomes text at once, and after kMostChanges values that do not fit are
/// rejects.
class Evolution {
 public:
  static constexpr int kStepwise = 8;
  static constexpr int kMostChanges = 64;

  Evolution(LoadShape& shape, SampledReader& reader, const LoadOptions& options);

  /// A stage that an earlier run has left is as wide as that run had come.
  void adopt(const Stage& stage);
  /// Tells the reader which columns go into json. Also after it has begun anew.
  void keep_json();
  /// What routers note: they are as many as there are shapes.
  [[nodiscard]] Losses& losses() noexcept { return losses_; }
  [[nodiscard]] Router router(bool numbered);

  /// Whether another shape takes the record that `router` has rejected last.
  [[nodiscard]] bool helps(Router& router, const Record& record) const;
  /// Finds that shape. Answers what the stage has to become for it; nothing where only records are taken in
  /// another way. The record is the reader's held(0) afterwards. Throws what the contract refuses.
  Drift mend(Router& router, const Record& record);

 private:
  [[nodiscard]] std::optional<ColumnType> wider(std::size_t column, const Cell& cell,
                                                const ColumnType& now) const;
  [[nodiscard]] bool may_widen() const;
  [[nodiscard]] bool is_inferred(const std::string& column, const ColumnType& type) const;
  [[nodiscard]] bool takes(std::size_t column, const Cell& cell, const ColumnType& type) const;
  [[nodiscard]] bool fits(const Cell& cell, const ColumnType& type) const;
  Drift widen(Router& router);
  Drift place_late();
  void place(std::size_t at, const ColumnType& type, Drift& change);
  void require_room() const;
  void add_column(const std::string& name, const ColumnType& type);
  void set_type(std::size_t column, const ColumnType& type);

  LoadShape& shape_;
  SampledReader& reader_;
  const LoadOptions& options_;
  int changes_ = 0;  ///< of types
  Losses losses_;
};

}  // namespace weir::load
