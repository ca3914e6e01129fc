#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/define/fields.h"

namespace weir::pipeline {

/// `${..}` in a text of a definition. `$${` is a `${` that stands for itself.
struct Placeholder {
  enum class Kind : std::uint8_t {
    literal,  ///< text between them, unescaped
    env,      ///< ${env:NAME}
    file,     ///< ${file:PATH}
    param,    ///< ${param:NAME}
    item,     ///< ${item}; with a name ${item.NAME}
    time,     ///< ${interval_start}, ${interval_end}, ${logical_time}
    run_id,
    unknown,  ///< none of these
  };
  Kind kind = Kind::literal;
  std::string name;       ///< of a literal the text; of a time which one
  std::string written{};  ///< as it stands, "${env:X}"
};

/// The pieces of `text`, in order. What runs a task replaces them; nothing here does.
std::vector<Placeholder> split_placeholders(std::string_view text);

/// What may be replaced in a text, besides the times and the run, which may wherever anything may.
struct Allowed {
  bool secrets = false;  ///< env and file
  bool values = false;   ///< param and item
  bool times = false;    ///< times and run_id
  const std::set<std::string, std::less<>>* parameters = nullptr;
  bool item = false;  ///< the task has `map`
};

/// Reports placeholders that nothing will replace there.
void check_placeholders(Reading& reading, const Said& said, const Allowed& allowed);

/// In a script or a statement nothing is replaced: what looks as if somebody relied on it is an error, with
/// what to write instead.
void refuse_placeholders(Reading& reading, const Said& said, bool shell);
/// The same of a whole file of SQL, which `reading` is of.
void refuse_placeholders(Reading& file);

}  // namespace weir::pipeline
