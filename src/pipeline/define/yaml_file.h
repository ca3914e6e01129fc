#pragma once

#include <optional>
#include <string>

#include "pipeline/define/diagnostics.h"
#include "pipeline/define/files.h"
#include "pipeline/define/yaml/node.h"

namespace weir::pipeline {

struct YamlFile {
  std::string text;
  std::optional<yaml::Node>
      root{};  ///< a mapping; nothing where it could not be read as one, which has been reported
};

/// Reports all that is wrong with it as YAML.
YamlFile read_yaml_file(const std::string& file, const Files& files, Diagnostics& diagnostics);

}  // namespace weir::pipeline
