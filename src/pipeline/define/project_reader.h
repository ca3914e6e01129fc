#pragma once

#include <filesystem>

#include "pipeline/define/common_reader.h"
#include "pipeline/define/definition.h"
#include "pipeline/define/diagnostics.h"
#include "pipeline/define/files.h"

namespace weir::pipeline {

/// The project in `folder`: weir.yml, pipelines/NAME/pipeline.yml and pipelines/NAME/models/**.sql. All that
/// is wrong with it goes to `diagnostics`; the definition is to be used only if that is ok(). Nothing is
/// resolved, connected to or written. Throws Error (usage) where there is no such folder.
ProjectDefinition read_project(const std::filesystem::path& folder, Diagnostics& diagnostics,
                               const LoadCheck& check_load = {});

/// The same of files anywhere; `name` is that of a project which says none.
ProjectDefinition read_project(const Files& files, const std::string& name, Diagnostics& diagnostics,
                               const LoadCheck& check_load = {});

}  // namespace weir::pipeline
