#include "pipeline/define/project_reader.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "pg/conninfo.h"
#include "pipeline/define/names.h"
#include "pipeline/define/pipeline_reader.h"
#include "pipeline/define/placeholder.h"
#include "pipeline/define/yaml_file.h"

namespace weir::pipeline {
namespace {

constexpr const char* kProjectFile = "weir.yml";
constexpr const char* kPipelineFile = "pipeline.yml";
constexpr const char* kPipelines = "pipelines";

void check_name(Reading& reading, const yaml::Node& key, std::string_view what) {
  if (const auto fault = name_fault(key.text)) {
    reading.error(key, fmt::format("{} cannot be the name of {}: {}", in_quotes(key.text), what, *fault));
  }
}

/// The URL with nothing in place of what is replaced later: a password that is left was written in clear.
bool has_clear_password(const std::string& url) {
  std::string literal;
  for (const Placeholder& piece : split_placeholders(url)) {
    if (piece.kind == Placeholder::Kind::literal) literal += piece.name;
  }
  return pg::redact_password(literal) != literal;
}

void read_connections(Reading& reading, Fields& fields, ProjectDefinition& project) {
  for (const yaml::Member* const member : fields.members("connections")) {
    check_name(reading, member->key, "a connection");
    const auto url =
        read_text(reading, member->value, fmt::format("connection {}", in_quotes(member->key.text)));
    if (!url) continue;
    check_placeholders(reading, *url, {.secrets = true});
    if (has_clear_password(url->text)) {
      reading.diagnostics().warning(
          reading.at(member->value),
          fmt::format("connection {} has its password written out", in_quotes(member->key.text)),
          "Whoever can read the project can read it. Write ${env:NAME} or ${file:PATH} in its place.");
    }
    project.connections[member->key.text] = url->text;
  }
}

void read_pools(Reading& reading, Fields& fields, ProjectDefinition& project) {
  const Key& each = *project_object().find("pools")->each;
  for (const yaml::Member* const member : fields.members("pools")) {
    check_name(reading, member->key, "a pool");
    const std::string what = fmt::format("pool {}", in_quotes(member->key.text));
    PoolDefinition pool{.name = member->key.text};
    if (member->value.is_mapping()) {
      Fields of(reading, member->value, *each.object);
      if (const auto slots = of.integer("slots")) pool.slots = static_cast<int>(*slots);
    } else if (const auto slots = read_integer(reading, member->value, what, each.least, each.most)) {
      pool.slots = static_cast<int>(*slots);
    }
    project.pools.push_back(std::move(pool));
  }
  const bool has_default = std::any_of(project.pools.begin(), project.pools.end(),
                                       [](const auto& pool) { return pool.name == "default"; });
  if (!has_default) project.pools.insert(project.pools.begin(), PoolDefinition{.name = "default"});
}

std::vector<std::string> pipeline_names(const Files& files, Diagnostics& diagnostics) {
  std::vector<std::string> names;
  if (files.look(kPipelines) != Files::What::folder) {
    if (files.look(kPipelines) != Files::What::absent)
      diagnostics.error({kPipelines}, "it is no folder of the project");
    return names;
  }
  for (const std::string& name : files.list(kPipelines)) {
    const std::string path = fmt::format("{}/{}", kPipelines, name);
    const Files::What what = files.look(path);
    const bool definition = name.ends_with(".yml") || name.ends_with(".yaml");
    if (what == Files::What::file && definition) {
      const std::string stem = name.substr(0, name.rfind('.'));
      diagnostics.error({path}, "a pipeline has a folder of its own",
                        fmt::format("Move it to {}/{}/{}.", kPipelines, stem, kPipelineFile));
    }
    if (what == Files::What::outside)
      diagnostics.error({path}, "it leads out of the project", "Copy it into the project's folder.");
    if (what != Files::What::folder) continue;
    if (const auto fault = name_fault(name)) {
      diagnostics.error({path},
                        fmt::format("{} cannot be the name of a pipeline: {}", in_quotes(name), *fault));
      continue;
    }
    if (files.look(path + "/" + kPipelineFile) == Files::What::file) {
      names.push_back(name);
      continue;
    }
    const bool yaml = files.look(path + "/pipeline.yaml") == Files::What::file;
    diagnostics.error({path}, fmt::format("there is no {} in it", kPipelineFile),
                      yaml ? "pipeline.yaml is not read: rename it." : "");
  }
  return names;
}

/// What a pipeline says of others: each dataset has a task that updates it, each pipeline that is waited for
/// is there.
void check_between(const std::vector<ReadPipeline>& all, Diagnostics& diagnostics) {
  std::set<std::string_view> pipelines;
  std::set<std::string_view> datasets;
  for (const ReadPipeline& one : all) {
    pipelines.insert(one.definition.name);
    for (const TaskDefinition& task : one.definition.tasks)
      datasets.insert(task.produces.begin(), task.produces.end());
  }
  const std::vector<std::string_view> known_pipelines(pipelines.begin(), pipelines.end());
  const std::vector<std::string_view> known_datasets(datasets.begin(), datasets.end());
  for (const ReadPipeline& one : all) {
    for (const Link& link : one.pipelines) {
      if (link.name == one.definition.name) {
        diagnostics.error(link.position, "the pipeline waits for itself");
      } else if (!pipelines.contains(link.name)) {
        diagnostics.error(link.position, fmt::format("there is no pipeline {}", in_quotes(link.name)),
                          diagnostics.suggest(link.name, known_pipelines));
      }
    }
    for (std::size_t i = 0; i < one.datasets.size(); ++i) {
      const std::string& dataset = one.definition.schedule.datasets[i];
      if (datasets.contains(dataset)) continue;
      diagnostics.error(one.datasets[i],
                        fmt::format("no task of the project updates the dataset {}", in_quotes(dataset)),
                        diagnostics.suggest(dataset, known_datasets));
    }
  }
}

}  // namespace

ProjectDefinition read_project(const std::filesystem::path& folder, Diagnostics& diagnostics,
                               const LoadCheck& check_load) {
  const FolderFiles files(folder);
  ProjectDefinition project = read_project(files, files.root().filename().string(), diagnostics, check_load);
  project.folder = files.root().string();
  return project;
}

ProjectDefinition read_project(const Files& files, const std::string& name, Diagnostics& diagnostics,
                               const LoadCheck& check_load) {
  ProjectDefinition project{.name = name};
  if (files.look(kProjectFile) != Files::What::file) {
    const bool yaml = files.look("weir.yaml") == Files::What::file;
    diagnostics.error({kProjectFile}, "there is no weir.yml, so this is no project",
                      yaml ? "weir.yaml is not read: rename it."
                           : "Make one: weir init DIR, or name its folder: weir -C DIR ..");
    return project;
  }
  const YamlFile file = read_yaml_file(kProjectFile, files, diagnostics);
  ProjectScope surroundings{.files = files, .check_load = check_load};
  if (file.root) {
    Reading reading(diagnostics, kProjectFile, file.text);
    Fields fields(reading, *file.root, project_object());
    if (const auto said = fields.text("name")) {
      project.name = said->text;
      check_name(reading, *said->node, "a project");
    }
    read_connections(reading, fields, project);
    read_pools(reading, fields, project);
    for (const auto& [connection, url] : project.connections) surroundings.connections.insert(connection);
    for (const PoolDefinition& pool : project.pools) surroundings.pools.emplace(pool.name, pool.slots);
    if (auto defaults = fields.object("defaults")) {
      surroundings.defaults = read_defaults(reading, std::move(*defaults), {}, surroundings);
    }
    surroundings.alerts = read_alerts(reading, fields);
    project.keep_history = fields.duration("history").value_or(project.keep_history);
  }
  // Without weir.yml nothing can be said of pools and connections; the rest would be noise.
  if (!file.root) return project;
  std::vector<ReadPipeline> all;
  try {
    for (const std::string& one : pipeline_names(files, diagnostics)) {
      all.push_back(read_pipeline(one, surroundings, diagnostics));
    }
  } catch (const Error& error) {
    diagnostics.error({kPipelines}, error.what(), error.remedy());
  }
  check_between(all, diagnostics);
  for (ReadPipeline& one : all) project.pipelines.push_back(std::move(one.definition));
  return project;
}

}  // namespace weir::pipeline
