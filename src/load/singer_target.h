#pragma once

#include <string>
#include <vector>

#include "load/load.h"
#include "load/read/record_spool.h"
#include "load/read/singer_schema.h"

namespace weir::load {

/// Makes a table and what waits for it fit, before a Load of it. Fills in the key as the table calls it, and
/// types of columns that the table has not. With the contract that evolves, a column that cannot hold a
/// value, but could if its type were what the tap says, gets that type: a tap that says so is believed even
/// where inference would reject the value.
///
/// `columns` are the stream's, of all schemas that rows in the spool have; `keys` names of some of them.
void fit_to_target(pg::Session& session, RecordSpool& spool, const std::vector<SingerColumn>& columns,
                   const std::vector<std::string>& keys, LoadOptions& options);

}  // namespace weir::load
