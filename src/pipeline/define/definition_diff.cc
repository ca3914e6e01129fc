#include "pipeline/define/definition_diff.h"

#include <algorithm>
#include <map>

#include <nlohmann/json.hpp>

#include "pipeline/define/definition_json.h"

namespace weir::pipeline {
namespace {

using Json = nlohmann::json;

/// Field by field down to what is no object: lists change as a whole.
void compare(const Json& before, const Json& after, const std::string& path,
             std::vector<FieldChange>& changes) {
  if (before == after) return;
  if (before.is_object() && after.is_object()) {
    Json keys = before;
    keys.update(after);
    for (const auto& [key, unused] : keys.items()) {
      const auto side = [&](const Json& json) { return json.contains(key) ? json.at(key) : Json(); };
      compare(side(before), side(after), path.empty() ? key : path + "." + key, changes);
    }
    return;
  }
  const auto text = [](const Json& json) { return json.is_null() ? std::string() : json.dump(); };
  changes.push_back({path, text(before), text(after)});
}

std::string name_of(const Json& task) { return task.value("name", std::string()); }

/// As it is stored, with the names of the tasks before it instead of their numbers: these change with every
/// task that comes or goes.
std::map<std::string, Json> tasks_of(Json& pipeline) {
  std::map<std::string, Json> tasks;
  Json all = std::move(pipeline["tasks"]);
  pipeline.erase("tasks");
  for (const Json& task : all) {
    Json named = task;
    named.erase("downstream");
    named.erase("upstream");
    if (task.contains("upstream")) {
      std::vector<std::string> after;
      for (const Json& number : task.at("upstream"))
        after.push_back(name_of(all.at(number.get<std::size_t>())));
      std::sort(after.begin(), after.end());
      named["after"] = after;
    }
    // "sql.text" says as much as "body.sql.text".
    for (const auto& [kind, body] : task.at("body").items()) named[kind] = body;
    named.erase("body");
    tasks.emplace(name_of(task), std::move(named));
  }
  return tasks;
}

}  // namespace

DefinitionDiff diff(const PipelineDefinition& before, const PipelineDefinition& after) {
  DefinitionDiff result;
  Json old_pipeline = Json::parse(to_json(before));
  Json new_pipeline = Json::parse(to_json(after));
  std::map<std::string, Json> old_tasks = tasks_of(old_pipeline);
  const std::map<std::string, Json> new_tasks = tasks_of(new_pipeline);
  compare(old_pipeline, new_pipeline, "", result.pipeline);
  for (const TaskDefinition& task : after.tasks) {
    const auto old_task = old_tasks.find(task.name);
    if (old_task == old_tasks.end()) {
      result.tasks.push_back({TaskChange::Kind::added, task.name});
      continue;
    }
    TaskChange change{TaskChange::Kind::changed, task.name};
    compare(old_task->second, new_tasks.at(task.name), "", change.fields);
    if (!change.fields.empty()) result.tasks.push_back(std::move(change));
  }
  for (const TaskDefinition& task : before.tasks) {
    if (!new_tasks.contains(task.name)) result.tasks.push_back({TaskChange::Kind::removed, task.name});
  }
  return result;
}

}  // namespace weir::pipeline
