#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "group/group_key.h"

namespace weir::group {

/// An attempt at a batch, as its owner names it.
struct BatchTry {
  std::int64_t run_id = 0;
  std::int32_t idx = 0;
  int attempt = 1;
};

/// A batch that its group's owner has begun to apply.
struct Batch {
  GroupKey group;
  std::int64_t run_id = 0;
  WallTime run_at;  ///< when its run was made: the key of weir.batch has it, too
  std::string run;  ///< its name; empty where the batch is a run of its own
  std::int32_t idx = 0;
  bool final = false;  ///< none of its run follows
  int attempt = 1;     ///< counted from 1
  std::optional<std::int64_t> rows;
  std::optional<std::int64_t> bytes;
  WallTime created_at;
  std::string error;  ///< of the attempt before
  std::string
      payload;  ///< JSON text; empty for a sink that reads it on the server, and until a large one is fetched

  [[nodiscard]] BatchTry at() const { return {run_id, idx, attempt}; }
  /// "17.0": what weir batch shows.
  [[nodiscard]] std::string id() const { return std::to_string(run_id) + "." + std::to_string(idx); }
};

}  // namespace weir::group
