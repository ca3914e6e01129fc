#pragma once

#include <optional>
#include <vector>

#include "load/load.h"
#include "load/read/sampled_reader.h"

namespace weir::load {

/// What a load will be, found from its sample and the catalogue; nothing was changed yet.
struct LoadShape {
  Target target;  ///< as it will be
  bool exists = false;
  TableName name;
  std::vector<NewColumn> created{};  ///< of a target that does not exist
  Matching matching;
  Drift drift{};
  std::vector<std::string> columns{};  ///< of the stage
};

/// Throws (definition, refused) what the user has to mend.
LoadShape find_shape(pg::Session& session, const SampledReader& reader, const LoadOptions& options);

/// Creates or changes the target as the shape says, each in its own short transaction, and describes it anew.
void prepare_target(pg::Session& session, LoadShape& shape, const LoadOptions& options);

}  // namespace weir::load
