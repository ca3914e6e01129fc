#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "load/value/cell.h"

namespace weir::load {

/// What a load has not kept of values that it took: counted by column, with the place of the first, so that
/// nothing is lost in silence.
class Losses {
 public:
  struct Of {
    std::uint64_t values = 0;
    std::string first;  ///< "a.csv, line 3"
  };
  using ByColumn = std::map<std::string, Of, std::less<>>;

  void discarded(std::string_view column, const Record& record) { add(discarded_, column, record); }
  void rounded(std::string_view column, const Record& record) { add(rounded_, column, record); }

  /// Left out by --schema discard: values that did not fit, and those of columns that the table has not.
  [[nodiscard]] const ByColumn& discarded() const noexcept { return discarded_; }
  /// Times with more digits of a second than six.
  [[nodiscard]] const ByColumn& rounded() const noexcept { return rounded_; }

  /// For people, a sentence each.
  [[nodiscard]] std::vector<std::string> notices() const;
  /// JSON: of each kind the columns with their number; to be kept with the summary.
  [[nodiscard]] std::string counts() const;
  /// JSON, and back: what is kept with a piece of the stage for a load that goes on behind it.
  [[nodiscard]] std::string to_json() const;
  static Losses from_json(std::string_view json);

 private:
  static void add(ByColumn& columns, std::string_view column, const Record& record);
  ByColumn discarded_;
  ByColumn rounded_;
};

}  // namespace weir::load
