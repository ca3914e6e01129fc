#pragma once

#include "cli/doctor/finding.h"
#include "cli/doctor/work_facts.h"

namespace weir::cli {

// Each judges facts alone: no I/O.
Finding judge_processes(const WorkFacts& facts);
Finding judge_schedules(const WorkFacts& facts);
/// One for each pool that has a limit or whose tasks wait, or a single one that says that all is well.
Findings judge_pools(const WorkFacts& facts);
/// Of jobs: nobody drops them unless asked to.
Finding judge_letters(const WorkFacts& facts);
/// Of groups: one that is frozen is notified by every commit of its sink, and notifications that nobody takes
/// fill the server's queue.
Finding judge_sleepers(const WorkFacts& facts);
Finding judge_alerts(const WorkFacts& facts);
Finding judge_history(const WorkFacts& facts);
/// Rows that scans read instead of an index, and dead ones.
Findings judge_tables(const WorkFacts& facts);
Finding judge_indexes(const WorkFacts& facts);

/// All of them, in the order in which they are shown.
Findings judge_work(const WorkFacts& facts);

}  // namespace weir::cli
