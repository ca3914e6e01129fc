#include "pipeline/define/yaml_file.h"

#include <fmt/format.h>

#include "base/error.h"
#include "pipeline/define/yaml/parse.h"

namespace weir::pipeline {

YamlFile read_yaml_file(const std::string& file, const Files& files, Diagnostics& diagnostics) {
  YamlFile result;
  try {
    result.text = files.read(file, yaml::Limits{}.bytes);
  } catch (const Error& error) {
    diagnostics.error({file}, error.what(), error.remedy());
    return result;
  }
  diagnostics.add_source(file, result.text);
  yaml::Parsed parsed = yaml::parse(result.text);
  for (yaml::Fault& fault : parsed.faults) {
    diagnostics.error({file, fault.place.line, fault.place.column}, std::move(fault.message),
                      std::move(fault.remedy));
  }
  // What is empty says nothing, which is not wrong by itself.
  if (parsed.faults.empty() && (!parsed.root || parsed.root->is_null())) {
    result.root = yaml::Node{.kind = yaml::Node::Kind::mapping, .place = {1, 1}};
  } else if (parsed.root && parsed.root->is_mapping()) {
    result.root = std::move(parsed.root);
  } else if (parsed.root) {
    diagnostics.error(
        {file, parsed.root->place.line, parsed.root->place.column},
        fmt::format("the file is a mapping of keys, and this is {}", yaml::describe(*parsed.root)));
  }
  return result;
}

}  // namespace weir::pipeline
