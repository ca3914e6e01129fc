#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/task/task_context.h"

namespace weir::pipeline {

/// Where a template stands decides what it may name.
enum class TemplateUse {
  argument,  ///< an argument or a path: others on the machine can read it
  value,     ///< the value of an environment variable, a connection, a source, an address: `env:` and `file:`
             ///< too
};

/// One piece: text as it stands, or `${name}` or `${name:word}`.
struct TemplatePart {
  std::string text;  ///< when `name` is empty
  std::string name;  ///< "param", "item", "logical_time", ..
  std::string word;  ///< "x" of `${param:x}`, "a.b" of `${item.a.b}`
  std::size_t at = 0;
};

/// Reads `${..}`; `$${` stands for `${`, and a dollar without a brace for itself. Throws Error(definition)
/// for a name that does not exist or may not stand there. Never for text that a shell reads: a value would
/// become part of the script.
std::vector<TemplatePart> parse_template(std::string_view text, TemplateUse use);

/// Told each secret whose value somebody is about to use, so that nobody says it.
class SecretKeeper {
 public:
  SecretKeeper() = default;
  SecretKeeper(const SecretKeeper&) = delete;
  SecretKeeper& operator=(const SecretKeeper&) = delete;
  virtual ~SecretKeeper() = default;
  /// `written`: "${env:X}"
  virtual void keep(const std::string& value, const std::string& written) = 0;
};

/// Whether a value of `env:` or `file:` belongs into it.
bool has_secrets(std::string_view text);

/// With the values in place. Throws Error(failed) where there is none: a parameter, a member of the item, a
/// variable, a file of `project` that is not there. No error has a value in it.
std::string bind_template(std::string_view text, TemplateUse use, const TaskContext& context,
                          const std::filesystem::path& project, SecretKeeper* keeper = nullptr);

/// A value of JSON as a program wants it: a string without its quotes, anything else as it stands.
std::string text_of_json(std::string_view json);

}  // namespace weir::pipeline
