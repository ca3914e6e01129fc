#pragma once

#include <string>
#include <string_view>

#include "pipeline/define/definition.h"

namespace weir::pipeline {

/// The definition as one line of JSON: keys in order, and nothing that has its default value, so that a new
/// field does not change what was stored before it. Places in files are not part of it: a comment makes no
/// new version.
std::string to_json(const PipelineDefinition& pipeline);

/// What to_json() wrote, here or by an older program. Throws Error (definition) for anything else, with the
/// name of what does not fit: that of a newer program, too, because what it means by a key cannot be known.
PipelineDefinition pipeline_from_json(std::string_view text);

/// Of to_json(), as 16 hexadecimal digits: two definitions with the same one are the same.
std::string definition_hash(const PipelineDefinition& pipeline);

}  // namespace weir::pipeline
