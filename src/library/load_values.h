#pragma once

#include <memory>
#include <stop_token>
#include <string_view>

#include <weir/load.h>

#include "load/load.h"
#include "load/open_source.h"
#include "pg/connector.h"

namespace weir {

// What a program says of a load, as the module load has it, and back.

/// Throws usage for a format that is none, and a limit out of range.
load::SourceChoice choice_of(const LoadSource& source);
/// Without the source, and `restart`.
load::LoadOptions loads_of(const LoadOptions& options);

LoadProgress progress_of(const load::LoadProgress& progress);
LoadPlan plan_of(const load::LoadReport& report);
LoadResult result_of(const load::LoadReport& report);

/// For loads: names mean what they mean in the user's psql. Throws usage where the URL is none.
std::shared_ptr<const pg::Connector> load_connector(std::string_view url);
/// Throws where Weir's schema is not there, or of another version.
void require_loads(const pg::Connector& connector, const std::stop_token& stop);

}  // namespace weir
