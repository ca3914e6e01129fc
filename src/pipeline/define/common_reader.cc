#include "pipeline/define/common_reader.h"

#include <algorithm>

#include <fmt/format.h>

#include "pipeline/define/placeholder.h"

namespace weir::pipeline {
namespace {

void read_pool(Reading& reading, Fields& fields, const ProjectScope& project, std::string& pool) {
  const auto said = fields.text("pool");
  if (!said) return;
  if (!project.pools.contains(said->text)) {
    std::vector<std::string_view> known;
    for (const auto& [name, slots] : project.pools) known.push_back(name);
    reading.error(*said->node, fmt::format("there is no pool {}", in_quotes(said->text)),
                  reading.suggest(said->text, known, "Add it to 'pools' of weir.yml."));
    return;
  }
  pool = said->text;
}

}  // namespace

Defaults read_defaults(Reading& reading, Fields fields, Defaults base, const ProjectScope& project) {
  read_pool(reading, fields, project, base.pool);
  base.priority = static_cast<int>(fields.integer("priority").value_or(base.priority));
  base.retry = read_retry(reading, fields, base.retry);
  if (const auto timeout = fields.duration("timeout")) base.timeout = timeout;
  return base;
}

std::vector<Alert> read_alerts(Reading& reading, Fields& file) {
  std::vector<Alert> alerts;
  for (Fields& fields : file.objects("alerts")) {
    Alert alert{.when = texts_of(fields.words("when"))};
    if (const auto to = fields.text("to")) {
      alert.to = to->text;
      check_placeholders(reading, *to, {.secrets = true});
      if (!alert.to.starts_with("https://") && !alert.to.starts_with("http://") &&
          !alert.to.starts_with("${")) {
        reading.error(*to->node, fmt::format("'to' is {}, which is no URL", in_quotes(alert.to)),
                      "Write https://.., or ${env:NAME} where it is a secret.");
      }
    }
    // What a program needs to know it reads: others on the machine see its arguments.
    for (const Said& word : fields.texts("run")) {
      check_placeholders(reading, word, {});
      alert.run.push_back(word.text);
    }
    if (!alert.run.empty()) {
      alert.folder = reading.folder();
      if (alert.run.front().empty()) reading.error(fields.place("run"), "'run' names no program");
    }
    alerts.push_back(std::move(alert));
  }
  return alerts;
}

Retry read_retry(Reading& reading, Fields& fields, const Retry& otherwise) {
  const yaml::Node* const node = fields.value("retry");
  Retry retry = otherwise;
  if (node == nullptr) return retry;
  if (!node->is_mapping()) {
    retry.attempts = static_cast<int>(fields.integer("retry").value_or(retry.attempts));
    return retry;
  }
  Fields said = *fields.object("retry");
  retry.attempts = static_cast<int>(said.integer("attempts").value_or(retry.attempts));
  retry.delay = said.duration("delay").value_or(retry.delay);
  if (const auto backoff = said.word("backoff")) retry.exponential = *backoff == 1;
  // A long delay that says nothing of a limit is meant.
  retry.max_delay = said.duration("max_delay").value_or(std::max(retry.max_delay, retry.delay));
  retry.jitter = said.boolean("jitter").value_or(retry.jitter);
  if (retry.max_delay < retry.delay) {
    reading.error(said.place("max_delay"), "'max_delay' is shorter than 'delay'");
  }
  return retry;
}

void read_scheduling(Reading& reading, Fields& fields, const PipelineScope& scope, TaskDefinition& task,
                     std::vector<Link>& links) {
  std::set<std::string, std::less<>> seen;
  for (const Said& before : fields.texts("after")) {
    if (!seen.insert(before.text).second) {
      reading.error(*before.node, fmt::format("'after' names {} twice", in_quotes(before.text)));
      continue;
    }
    links.push_back({before.text, reading.at(*before.node)});
  }
  if (const auto rule = fields.word("trigger_rule")) task.rule = static_cast<TriggerRule>(*rule);
  task.pool = scope.defaults.pool;
  read_pool(reading, fields, scope.project, task.pool);
  task.slots = static_cast<int>(fields.integer("slots").value_or(1));
  const auto pool = scope.project.pools.find(task.pool);
  if (pool != scope.project.pools.end() && pool->second && task.slots > *pool->second) {
    reading.error(fields.place("slots"), fmt::format("{} slots, and pool {} has {}: it would never run",
                                                     task.slots, in_quotes(task.pool), *pool->second));
  }
  task.priority = static_cast<int>(fields.integer("priority").value_or(scope.defaults.priority));
  task.retry = read_retry(reading, fields, scope.defaults.retry);
  task.timeout = fields.duration("timeout");
  if (!task.timeout) task.timeout = scope.defaults.timeout;
  if (const auto when = fields.text("when")) {
    task.when = when->text;
    refuse_placeholders(reading, *when, false);
  }
  task.allow_failure = fields.boolean("allow_failure").value_or(false);
  for (const Said& dataset : fields.texts("produces")) {
    if (std::find(task.produces.begin(), task.produces.end(), dataset.text) == task.produces.end()) {
      task.produces.push_back(dataset.text);
    }
  }
}

std::string read_path(Reading& reading, const Said& said, const Files& files, Files::What wanted) {
  const std::string path = join_path(reading.folder(), said.text);
  const auto refuse = [&](std::string message, std::string remedy) {
    reading.error(*said.node, std::move(message), std::move(remedy));
    return std::string();
  };
  const auto leaves = [&] {
    return refuse(fmt::format("{} leads out of the project", in_quotes(said.text)),
                  "Copy it into the project's folder.");
  };
  if (path.empty()) return leaves();
  switch (files.look(path)) {
    case Files::What::outside: return leaves();
    case Files::What::absent:
      return refuse(
          fmt::format("there is no {} {}", wanted == Files::What::file ? "file" : "folder", in_quotes(path)),
          "Paths count from the folder of the file that they are in.");
    case Files::What::other: return refuse(fmt::format("{} cannot be read", in_quotes(path)), "");
    case Files::What::file:
      if (wanted == Files::What::file) return path;
      return refuse(fmt::format("{} is a file, not a folder", in_quotes(path)), "");
    case Files::What::folder:
      if (wanted == Files::What::folder) return path;
      return refuse(fmt::format("{} is a folder, not a file", in_quotes(path)), "");
  }
  return {};
}

}  // namespace weir::pipeline
