#include "pipeline/run/store.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <string_view>

#include "pipeline/task_verdict.h"
#include "schema/queries/alerts.h"
#include "schema/queries/pipelines.h"

namespace weir::pipeline {
namespace {

/// An array of text as PostgreSQL reads it.
std::string array_text(const std::vector<std::string>& values) {
  std::string text = "{";
  for (const std::string& value : values) {
    if (text.size() > 1) text += ',';
    text += '"';
    for (const char c : value) {
      if (c == '"' || c == '\\') text += '\\';
      text += c;
    }
    text += '"';
  }
  return text + "}";
}

std::string array_text(const std::vector<int>& values) {
  std::string text = "{";
  for (const int value : values) text += (text.size() > 1 ? "," : "") + std::to_string(value);
  return text + "}";
}

void add_tasks(pg::Session& session, std::int32_t pipeline, std::int32_t version,
               const std::vector<PlannedTask>& plan) {
  std::vector<std::string_view> names;
  std::vector<std::optional<std::string_view>> pools;
  std::vector<std::int32_t> slots;
  std::vector<std::int32_t> upstream;
  std::vector<std::int32_t> priorities;
  std::vector<bool> deferred;
  std::vector<bool> durable;
  std::vector<bool> allow_failure;
  std::vector<std::string_view> rules;
  std::vector<std::string_view> successors;
  std::vector<std::optional<std::string_view>> produces;
  std::deque<std::string> texts;
  for (const PlannedTask& task : plan) {
    names.emplace_back(task.name);
    pools.push_back(task.pool ? std::optional<std::string_view>(*task.pool) : std::nullopt);
    slots.push_back(task.slots);
    upstream.push_back(task.upstream);
    priorities.push_back(task.priority);
    deferred.push_back(task.deferred);
    durable.push_back(task.durable);
    allow_failure.push_back(task.allow_failure);
    rules.push_back(to_string(task.rule));
    successors.push_back(texts.emplace_back(array_text(task.successors)));
    produces.push_back(task.produces.empty()
                           ? std::nullopt
                           : std::optional<std::string_view>(texts.emplace_back(array_text(task.produces))));
  }
  session.run<sql::AddPipelineTasks>(pipeline, version, names, pools, slots, upstream, priorities, deferred,
                                     durable, allow_failure, rules, successors, produces);
}

}  // namespace

std::int32_t store_definition(pg::Session& session, std::int32_t pipeline, std::int32_t present,
                              const StoredDefinition& definition) {
  std::int32_t version = present;
  const auto known = session.run<sql::PipelineHash>(pipeline, present);
  if (known.empty() || known[0].hash != definition.hash) {
    const auto added =
        session.run<sql::AddPipelineVersion>(pipeline, definition.hash, pg::JsonView{definition.json});
    version = added.one().version;
    add_tasks(session, pipeline, version, definition.plan);
    std::int32_t no = 0;
    for (const Alert& alert : definition.alerts) {
      const std::vector<std::string_view> events(alert.when.begin(), alert.when.end());
      session.run<sql::AddPipelineAlert>(pipeline, version, no++, events);
    }
  }
  session.run<sql::UsePipelineVersion>(pipeline, version, definition.max_active_runs);
  const std::vector<std::string_view> datasets(definition.datasets.begin(), definition.datasets.end());
  session.run<sql::SetPipelineDatasets>(pipeline, datasets);
  return version;
}

}  // namespace weir::pipeline
