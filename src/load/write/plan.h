#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "load/write/spec.h"
#include "load/write/stage_sql.h"
#include "load/write/target.h"

namespace weir::load {

/// In the order of their strength.
enum class LockMode : std::uint8_t {
  none,
  access_share,
  row_share,
  row_exclusive,
  share_update_exclusive,
  share,
  share_row_exclusive,
  exclusive,
  access_exclusive,
};
/// "ROW EXCLUSIVE".
std::string_view to_string(LockMode mode) noexcept;
/// As pg_locks writes it: "RowExclusiveLock".
LockMode parse_lock_mode(std::string_view text) noexcept;

struct Step {
  enum class Phase : std::uint8_t { columns, stage, check, apply, swap, care };
  Phase phase = Phase::apply;
  std::string name;  ///< "delete", "update", "insert", "diff", ..
  std::string sql{};
  std::string relation{};  ///< whose lock it is
  LockMode lock = LockMode::none;
  std::string note{};
};
std::string_view to_string(Step::Phase phase) noexcept;

struct Refusal {
  std::string reason;
  std::string remedy;
  bool of_rights = false;
};

/// What a load will do, before it does anything. A pure function of what is known.
struct Plan {
  std::vector<Step> steps;
  std::vector<Refusal> refusals;  ///< not empty: nothing may be done
  std::vector<std::string> warnings;

  /// The strongest lock on the target, which its readers and writers meet; care comes later and disturbs
  /// neither.
  [[nodiscard]] LockMode strongest(std::string_view relation) const noexcept;
  /// With which the first refusal ends a load: refused, or database where a right is missing.
  [[nodiscard]] ExitCode exit_code() const noexcept;
  /// Throws the first refusal.
  void require() const;
};

/// `stage` is what stands for it in a dry run.
Plan make_plan(const Target& target, const LoadSpec& spec, const StageTable& stage, int server_version);

}  // namespace weir::load
