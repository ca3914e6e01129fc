#pragma once

#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "pipeline/define/diagnostics.h"
#include "pipeline/define/project_reader.h"

namespace weir::test {

/// A project that was never on a disk.
struct ReadProject {
  pipeline::Diagnostics diagnostics{};
  pipeline::ProjectDefinition project{};
};

inline ReadProject read_files(std::map<std::string, std::string> files) {
  ReadProject result;
  files.emplace("weir.yml", "");
  result.project =
      pipeline::read_project(pipeline::MemoryFiles(std::move(files)), "test", result.diagnostics);
  return result;
}

inline ReadProject read_pipeline_text(const std::string& text) {
  return read_files({{"pipelines/p/pipeline.yml", text}});
}

/// "line:column message" of each, with the file in front where it is not the pipeline's.
inline std::vector<std::string> told(const pipeline::Diagnostics& diagnostics) {
  std::vector<std::string> all;
  for (const auto& one : diagnostics.sorted()) {
    std::string place = one.position.file == "pipelines/p/pipeline.yml" ? "" : one.position.file + ":";
    if (one.severity == pipeline::Diagnostic::Severity::warning) place = "warning " + place;
    all.push_back(fmt::format("{}{}:{} {}", place, one.position.line, one.position.column, one.message));
  }
  return all;
}

}  // namespace weir::test
