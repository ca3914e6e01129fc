#pragma once

#include "cli/doctor/facts.h"
#include "cli/doctor/finding.h"

namespace weir::cli {

// Each judges facts alone: no I/O.
Finding judge_version(const DoctorFacts& facts);
Finding judge_primary(const DoctorFacts& facts);
Finding judge_pooler(const DoctorFacts& facts);
Finding judge_budget(const DoctorFacts& facts);
/// One for each setting that Weir minds, or a single one that says that all is well.
Findings judge_settings(const DoctorFacts& facts);
Finding judge_schema(const DoctorFacts& facts);
Finding judge_rights(const DoctorFacts& facts);
Finding judge_roles(const DoctorFacts& facts);
Finding judge_clock(const DoctorFacts& facts);
Finding judge_encoding(const DoctorFacts& facts);
Finding judge_snapshots(const DoctorFacts& facts);

/// All of them, in the order in which they are shown.
Findings judge(const DoctorFacts& facts);

}  // namespace weir::cli
