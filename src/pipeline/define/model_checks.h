#pragma once

#include <string>
#include <vector>

#include "pipeline/define/model_reader.h"

namespace weir::pipeline {

/// The checks of a model as queries that answer true where all is well. A column is named as it is, without
/// quotes.
std::vector<PendingModel::PendingCheck> read_checks(Reading& reading, Fields& model,
                                                    const std::string& relation);

}  // namespace weir::pipeline
