// A project of arbitrary files: it is read or refused with places that are in it, and what was read survives
// JSON.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "pipeline/define/definition_diff.h"
#include "pipeline/define/definition_json.h"
#include "pipeline/define/project_reader.h"

/// Parts are divided by a line of four equals signs: pipeline.yml, a model, weir.yml.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::string_view kDivider = "\n====\n";
  std::string_view rest(reinterpret_cast<const char*>(data), size);  // NOLINT
  const auto part = [&] {
    const std::size_t end = std::min(rest.find(kDivider), rest.size());
    const std::string text(rest.substr(0, end));
    rest.remove_prefix(std::min(end + kDivider.size(), rest.size()));
    return text;
  };
  std::map<std::string, std::string> files;
  files["pipelines/p/pipeline.yml"] = part();
  files["pipelines/p/models/m/t.sql"] = part();
  files["pipelines/p/models/a.sql"] = "select 1";
  files["weir.yml"] = part();

  weir::pipeline::Diagnostics diagnostics;
  const auto project =
      weir::pipeline::read_project(weir::pipeline::MemoryFiles(std::move(files)), "fuzz", diagnostics);
  for (const auto& one : diagnostics.sorted()) {
    if (one.message.empty() || one.position.line < 0 || one.position.column < 0) std::abort();
  }
  if (diagnostics.errors() > 0 && to_text(diagnostics).empty()) std::abort();
  if (to_json(diagnostics).dump().empty()) std::abort();
  if (!diagnostics.ok()) return 0;
  for (const auto& pipeline : project.pipelines) {
    const std::string json = to_json(pipeline);
    const auto again = weir::pipeline::pipeline_from_json(json);
    if (to_json(again) != json || !diff(pipeline, again).empty()) std::abort();
  }
  return 0;
}
