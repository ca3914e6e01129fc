#include "pipeline/define/task_reader.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"
#include "pipeline/define/body_reader.h"
#include "pipeline/define/names.h"
#include "pipeline/define/placeholder.h"
#include "pipeline/define/yaml/json.h"
#include "pipeline/task/sql_script.h"

namespace weir::pipeline {
namespace {

constexpr std::size_t kLongestSql = 4UL * 1024UL * 1024UL;

/// What no server has to be asked about: BEGIN and COMMIT, what is psql's own, a quote without its end.
void check_script(Reading& reading, const SqlBody& body, const yaml::Node& node) {
  try {
    const SqlScript script(body.text, body.file);
  } catch (const SqlScript::Fault& fault) {
    if (body.file.empty()) {
      reading.error(node, fault.what(), fault.remedy());
    } else {
      reading.error(Position{body.file, fault.line(), 1}, fault.message(), fault.remedy());
    }
  }
}

SqlBody read_sql(Reading& reading, Fields& task, const PipelineScope& scope) {
  SqlBody body;
  if (task.place("sql").is_mapping()) {
    Fields fields = *task.object("sql");
    if (const auto file = fields.text("file")) {
      body.file = read_path(reading, *file, scope.project.files, Files::What::file);
      if (!body.file.empty()) body.text = read_sql_file(reading, *file->node, body.file, scope.project.files);
      reading.diagnostics().add_source(body.file, body.text);
      Reading of_file(reading.diagnostics(), body.file, body.text);
      refuse_placeholders(of_file);
      check_script(reading, body, *file->node);
    }
  } else if (const auto text = task.text("sql")) {
    body.text = text->text;
    refuse_placeholders(reading, *text, false);
    check_script(reading, body, *text->node);
  }
  body.connection = read_connection(reading, task, scope.project);
  body.transaction = task.boolean("transaction").value_or(true);
  if (const auto reason = task.text("allow_blocking")) body.allow_blocking = reason->text;
  return body;
}

RunBody read_run(Reading& reading, Fields& task, const PipelineScope& scope, const Allowed& values) {
  RunBody body;
  if (task.kind() == "shell") {
    if (const auto script = task.text("shell")) {
      body.shell = script->text;
      refuse_placeholders(reading, *script, true);
    }
  } else {
    for (const Said& word : task.texts("run")) {
      check_placeholders(reading, word, values);
      body.argv.push_back(word.text);
    }
    if (!body.argv.empty() && body.argv.front().empty())
      reading.error(task.place("run"), "'run' names no program");
  }
  body.env = read_env(reading, task, values);
  body.folder = read_folder(reading, task, scope.project.files);
  if (const auto status = task.integer("skip_exit_code")) body.skip_exit_code = static_cast<int>(*status);
  body.database = task.boolean("database").value_or(false);
  return body;
}

MapSource read_map(Reading& reading, Fields& task) {
  MapSource map;
  const auto take = [&](const std::vector<const yaml::Node*>& items) {
    for (const yaml::Node* const item : items) map.list.push_back(yaml::to_json(*item).dump());
  };
  if (task.place("map").is_sequence()) {
    take(task.values("map"));
    return map;
  }
  auto fields = task.object("map");
  if (!fields) return map;
  if (const auto query = fields->text("sql")) {
    map.sql = query->text;
    refuse_placeholders(reading, *query, false);
  }
  take(fields->values("list"));
  if (const auto most = fields->integer("max_parallel")) map.max_parallel = static_cast<int>(*most);
  return map;
}

void read_body(Reading& reading, Fields& fields, const PipelineScope& scope, TaskDefinition& task,
               TaskLinks& links) {
  const Allowed values{
      .values = true, .times = true, .parameters = &scope.parameters, .item = task.map.has_value()};
  if (fields.kind() == "sql") {
    task.body = read_sql(reading, fields, scope);
  } else if (fields.kind() == "run" || fields.kind() == "shell") {
    task.body = read_run(reading, fields, scope, values);
  } else if (fields.kind() == "load") {
    if (auto load = fields.object("load")) {
      LoadBody body = read_load(reading, std::move(*load), fields, scope.project, values);
      if (!body.into.empty()) task.produces.push_back(body.into);
      task.body = std::move(body);
    }
  } else if (fields.kind() == "wait") {
    if (auto wait = fields.object("wait"))
      task.body = read_wait(reading, std::move(*wait), scope, values, links);
  }
}

}  // namespace

TaskDefinition read_task(Reading& reading, const yaml::Member& member, const PipelineScope& scope,
                         TaskLinks& links) {
  TaskDefinition task{.name = member.key.text, .body = RunBody{}, .position = reading.at(member.key)};
  if (const auto fault = name_fault(task.name)) {
    reading.error(member.key,
                  fmt::format("{} cannot be the name of a task: {}", in_quotes(task.name), *fault));
  }
  if (member.value.is_null()) {
    reading.error(member.key, fmt::format("task {} says nothing of what it does", in_quotes(task.name)),
                  "It needs one of sql, run, shell, load, wait.");
    return task;
  }
  Fields fields(reading, member.value, task_object());
  if (!member.value.is_mapping()) return task;
  read_scheduling(reading, fields, scope, task, links.after);
  if (fields.has("map")) task.map = read_map(reading, fields);
  read_body(reading, fields, scope, task, links);
  return task;
}

std::string read_sql_file(Reading& reading, const yaml::Node& node, const std::string& path,
                          const Files& files) {
  try {
    std::string text = files.read(path, kLongestSql);
    if (const auto bad = find_invalid_utf8(text)) {
      reading.error(node, fmt::format("{} is no UTF-8, from its byte {} on", in_quotes(path), *bad),
                    "Save it as UTF-8.");
      return {};
    }
    if (text.find('\0') != std::string::npos) {
      reading.error(node, fmt::format("{} has a zero byte in it", in_quotes(path)));
      return {};
    }
    if (trim(text).empty()) reading.error(node, fmt::format("{} is empty", in_quotes(path)));
    return text;
  } catch (const Error& error) {
    reading.error(node, error.what(), error.remedy());
    return {};
  }
}

}  // namespace weir::pipeline
