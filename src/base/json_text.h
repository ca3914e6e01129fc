#pragma once

#include <string>
#include <string_view>

namespace weir {

/// Appends `text` as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD, one for each
/// byte, so that the result is valid JSON whatever comes in. Control characters are escaped, those that JSON
/// does not mind as well: somebody will look at it in a terminal.
void append_json_string(std::string& out, std::string_view text);

}  // namespace weir
