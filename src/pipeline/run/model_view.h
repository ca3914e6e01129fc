#pragma once

#include "pipeline/run/running_task.h"

namespace weir::pipeline {

/// In the session's transaction. One that is there as its SELECT has it is left alone, so that its readers
/// wait for nothing; nobody waits for long behind one that is replaced, while it waits itself. One whose
/// columns are others than before is dropped and made anew, with its owner, options, comments and rights;
/// throws where others depend on it.
void make_view(RunningTask& running, pg::Session& session, const ModelBody& body);

}  // namespace weir::pipeline
