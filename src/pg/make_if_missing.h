#pragma once

#include <string>

#include "pg/session.h"

namespace weir::pg {

/// Runs `CREATE .. IF NOT EXISTS`, also when others run it in the same moment: the server looks before it
/// makes, and tells all but one of a duplicate. Outside of a transaction only: the error would end it.
void make_if_missing(Session& session, const std::string& statement);

}  // namespace weir::pg
