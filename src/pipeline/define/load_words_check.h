#pragma once

#include "pipeline/define/common_reader.h"
#include "pipeline/define/fields.h"

namespace weir::pipeline {

/// What `weir load` would refuse of a load, with a place: as far as its words tell, and with something in the
/// place of what is known when it runs.
void check_load_words(Reading& reading, Fields& fields, const LoadBody& body, const ProjectScope& project);

}  // namespace weir::pipeline
