#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

// Pieces of JSON as they stand in the text, so that a result of any size is neither parsed into a tree nor
// changed on its way (a tree would round its numbers). The text has to be valid JSON; these do not check it.

namespace weir::work {

struct JsonMember {
  std::string_view key;  ///< with its quotes and escapes
  std::string_view value;
};

/// The members of an object in their order; nothing when there are more than `most`.
std::optional<std::vector<JsonMember>> split_object(std::string_view object, std::size_t most);
std::optional<std::vector<std::string_view>> split_array(std::string_view array, std::size_t most);

/// Why PostgreSQL's jsonb would refuse it; nothing when it would take it.
std::optional<std::string> find_jsonb_fault(std::string_view json);

}  // namespace weir::work
