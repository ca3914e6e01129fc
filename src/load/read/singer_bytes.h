#pragma once

#include <string>
#include <string_view>

#include "load/read/singer_schema.h"

namespace weir::load {

/// Appends the bytes that the text stands for; false where it stands for none, and `out` may have some of
/// them.
bool append_decoded(BytesAs how, std::string_view text, std::string& out);

}  // namespace weir::load
