#pragma once

#include "cli/command.h"
#include "cli/load/options.h"

namespace weir::cli {

/// Opens the source, loads it with progress shown, and shows the plan or the summary.
ExitCode run_load(Context& context, LoadRequest request);

/// A Singer tap: its states on standard output as they are committed, all else on standard error.
ExitCode run_tap(Context& context, LoadRequest request);

/// The same with a reader that is open already.
ExitCode run_load(Context& context, load::OpenedSource source, load::LoadOptions options);

}  // namespace weir::cli
