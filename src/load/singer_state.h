#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "load/write/state.h"

namespace weir::load {

/// What Weir keeps of a tap, in one row of weir.load_state (the pipeline's, with no stream): the tap's own
/// state and which version of each stream its table has. All loads of a run advance it, each from the seq
/// that the one before it left: of two runs at once the later is refused.
class SingerState {
 public:
  /// As the last run left it.
  static SingerState read(pg::Session& session, const std::string& pipeline);

  /// JSON; "null": none yet.
  [[nodiscard]] const std::string& tap() const noexcept { return tap_; }
  [[nodiscard]] const std::map<std::string, std::int64_t>& versions() const noexcept { return versions_; }
  /// For LoadOptions::began_with.
  [[nodiscard]] const State& row() const noexcept { return row_; }
  [[nodiscard]] bool is_kept() const noexcept { return kept_; }

  /// What it becomes. Kept by the load that gets json(), or by keep().
  void set_tap(std::string state);
  void set_version(const std::string& stream, std::int64_t version);
  [[nodiscard]] std::string json() const;
  /// A load has committed json().
  void committed(std::int64_t run);
  /// In a transaction of its own: when there are no rows to commit it with.
  void keep(pg::Session& session);

 private:
  State row_;
  std::string tap_ = "null";
  std::map<std::string, std::int64_t> versions_;
  std::int64_t run_ = 0;
  bool kept_ = true;
};

/// Whether a tap left what is kept of a pipeline.
bool is_of_tap(std::string_view kept);
/// The tap's state in what is kept of a pipeline; what no tap left comes as it is. "null" where there is
/// none.
std::string tap_state_of(std::string_view kept);

}  // namespace weir::load
