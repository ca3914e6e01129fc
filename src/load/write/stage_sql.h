#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "load/write/schema_change.h"
#include "load/write/target.h"

namespace weir::load {

// SQL of stages; pure.

std::string stage_name(pg::Oid target, std::int64_t number);
/// "load_4711_2" > 2.
std::int64_t stage_number(std::string_view name) noexcept;
/// Qualified and quoted.
std::string stage_table(std::string_view name);

/// A stage as its statements name it.
struct StageTable {
  std::string sql{};  ///< qualified and quoted
  std::string line = "weir_line";
  std::string part = "weir_part";

  /// Columns of the user's are called whatever they are: the stage's two get other names than those.
  void avoid(const std::vector<std::string>& taken);
};

/// In the stage: types that the server has to cast are text there. Throws definition for a column that the
/// target has not.
std::vector<ColumnType> stage_types(const Target& target, const std::vector<std::string>& columns);
/// As the query load_stages() writes it; of a stage that was not changed.
std::string stage_signature(const StageTable& stage, const std::vector<std::string>& columns,
                            const std::vector<ColumnType>& types);
/// In one ALTER TABLE.
std::string change_stage_sql(std::string_view table, const std::vector<std::string>& columns,
                             const std::vector<ColumnType>& types, const Drift& drift);
std::string create_stage_sql(std::string_view name, const std::string& signature);
std::string copy_stage_sql(const StageTable& stage, const std::vector<std::string>& columns);

}  // namespace weir::load
