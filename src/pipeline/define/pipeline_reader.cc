#include "pipeline/define/pipeline_reader.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "pipeline/define/graph.h"
#include "pipeline/define/head_reader.h"
#include "pipeline/define/model_reader.h"
#include "pipeline/define/task_reader.h"
#include "pipeline/define/yaml_file.h"

namespace weir::pipeline {
namespace {

// Of a cycle, in its message.
constexpr std::size_t kCycleShown = 12;

/// Tasks in the order of the files, with the edges that are known so far.
class Assembly {
 public:
  Assembly(Diagnostics& diagnostics, Position nowhere)
      : diagnostics_(diagnostics), nowhere_(std::move(nowhere)) {}

  void add(TaskDefinition task, std::vector<Link> after) {
    const auto [known, is_new] = numbers_.emplace(task.name, static_cast<int>(tasks_.size()));
    if (!is_new) {
      const Position& first = tasks_[static_cast<std::size_t>(known->second)].position;
      diagnostics_.error(task.position, fmt::format("there are two tasks called {}", in_quotes(task.name)),
                         fmt::format("The other one is {}:{}.", first.file, first.line));
    }
    tasks_.push_back(std::move(task));
    after_.push_back(std::move(after));
  }

  void add(PendingModel model) {
    add(std::move(model.task), std::move(model.after));
    models_.emplace_back(tasks_.size() - 1, std::move(model));
  }

  std::vector<TaskDefinition> finish() {
    std::vector<std::vector<int>> upstream = link();
    resolve(upstream);
    for (auto& before : upstream) {
      std::sort(before.begin(), before.end());
      before.erase(std::unique(before.begin(), before.end()), before.end());
    }
    const Order order = topological_order(upstream);
    for (const auto& cycle : order.cycles) report(cycle);
    if (!order.cycles.empty()) return std::move(tasks_);
    return arrange(order.order, upstream);
  }

 private:
  std::vector<std::vector<int>> link() {
    std::vector<std::string_view> known;
    for (const auto& [name, number] : numbers_) known.push_back(name);
    std::vector<std::vector<int>> upstream(tasks_.size());
    for (std::size_t i = 0; i < tasks_.size(); ++i) {
      for (const Link& link : after_[i]) {
        const auto found = numbers_.find(link.name);
        if (found != numbers_.end()) {
          upstream[i].push_back(found->second);
          continue;
        }
        diagnostics_.error(link.position, fmt::format("there is no task {}", in_quotes(link.name)),
                           diagnostics_.suggest(link.name, known));
      }
    }
    return upstream;
  }

  /// What ref() may name: models and the tables of loads, in full, and without their schema where that is
  /// clear.
  [[nodiscard]] RefTargets targets() const {
    RefTargets targets;
    const auto add = [&](const std::string& name, int task, const std::string& relation) {
      const auto [at, is_new] = targets.emplace(name, RefTarget{task, relation, false});
      if (!is_new && at->second.relation != relation) at->second.ambiguous = true;
    };
    for (std::size_t i = 0; i < tasks_.size(); ++i) {
      const auto* const model = std::get_if<ModelBody>(&tasks_[i].body);
      const auto* const load = std::get_if<LoadBody>(&tasks_[i].body);
      if (model == nullptr && load == nullptr) continue;
      const std::string& relation = model != nullptr ? model->relation : load->into;
      const auto number = static_cast<int>(i);
      add(tasks_[i].name, number, relation);
      add(relation, number, relation);
      const std::size_t dot = relation.find('.');
      if (dot != std::string::npos) add(relation.substr(dot + 1), number, relation);
    }
    return targets;
  }

  void resolve(std::vector<std::vector<int>>& upstream) {
    const RefTargets all = targets();
    for (auto& [number, model] : models_) {
      model.task = std::move(tasks_[number]);
      const std::vector<int> before = resolve_model(model, static_cast<int>(number), all, diagnostics_);
      tasks_[number] = std::move(model.task);
      upstream[number].insert(upstream[number].end(), before.begin(), before.end());
    }
  }

  void report(const std::vector<int>& cycle) {
    std::string path;
    const std::size_t shown = std::min(cycle.size(), kCycleShown);
    for (std::size_t i = 0; i < shown; ++i) path += tasks_[static_cast<std::size_t>(cycle[i])].name + " > ";
    if (shown < cycle.size()) path += fmt::format("({} more) > ", cycle.size() - shown);
    const TaskDefinition& first = tasks_[static_cast<std::size_t>(cycle.front())];
    diagnostics_.error(first.position.line > 0 ? first.position : nowhere_,
                       fmt::format("tasks wait for each other: {}{}", path, first.name),
                       "Take one of these out of 'after', or out of a ref().");
  }

  std::vector<TaskDefinition> arrange(const std::vector<int>& order,
                                      const std::vector<std::vector<int>>& upstream) {
    std::vector<int> number_of(tasks_.size());
    for (std::size_t i = 0; i < order.size(); ++i)
      number_of[static_cast<std::size_t>(order[i])] = static_cast<int>(i);
    std::vector<TaskDefinition> arranged;
    arranged.reserve(tasks_.size());
    for (const int old : order) {
      TaskDefinition task = std::move(tasks_[static_cast<std::size_t>(old)]);
      for (const int up : upstream[static_cast<std::size_t>(old)]) {
        const int before = number_of[static_cast<std::size_t>(up)];
        task.upstream.push_back(before);
        arranged[static_cast<std::size_t>(before)].downstream.push_back(static_cast<int>(arranged.size()));
      }
      std::sort(task.upstream.begin(), task.upstream.end());
      arranged.push_back(std::move(task));
    }
    return arranged;
  }

  Diagnostics& diagnostics_;
  Position nowhere_;
  std::vector<TaskDefinition> tasks_;
  std::vector<std::vector<Link>> after_;
  std::vector<std::pair<std::size_t, PendingModel>> models_;
  std::map<std::string, int, std::less<>> numbers_;
};

}  // namespace

ReadPipeline read_pipeline(const std::string& name, const ProjectScope& project, Diagnostics& diagnostics) {
  const std::string folder = "pipelines/" + name;
  ReadPipeline result;
  PipelineDefinition& pipeline = result.definition;
  pipeline.name = name;
  pipeline.file = folder + "/pipeline.yml";
  const YamlFile file = read_yaml_file(pipeline.file, project.files, diagnostics);
  if (!file.root) return result;

  Reading reading(diagnostics, pipeline.file, file.text);
  Fields fields(reading, *file.root, pipeline_object());
  PipelineScope scope{.project = project, .defaults = project.defaults};
  if (const auto text = fields.text("description")) pipeline.description = text->text;
  pipeline.schedule = read_schedule(reading, fields, result.datasets);
  pipeline.parameters = read_parameters(reading, fields);
  for (const Parameter& parameter : pipeline.parameters) scope.parameters.insert(parameter.name);
  if (auto defaults = fields.object("defaults")) {
    scope.defaults = read_defaults(reading, std::move(*defaults), scope.defaults, project);
  }
  pipeline.max_active_runs = static_cast<int>(fields.integer("max_active_runs").value_or(1));
  pipeline.deadline = fields.duration("deadline");
  pipeline.alerts = project.alerts;
  for (Alert& alert : read_alerts(reading, fields)) pipeline.alerts.push_back(std::move(alert));

  Assembly assembly(diagnostics, reading.at(*file.root));
  std::size_t count = 0;
  for (const yaml::Member* const member : fields.members("tasks")) {
    TaskLinks links;
    TaskDefinition task = read_task(reading, *member, scope, links);
    assembly.add(std::move(task), std::move(links.after));
    for (Link& link : links.pipelines) result.pipelines.push_back(std::move(link));
    ++count;
  }
  const std::string models = folder + "/models";
  for (const std::string& path : model_files(project.files, models, diagnostics)) {
    assembly.add(read_model(path, models, scope, diagnostics));
    ++count;
  }
  if (count == 0 &&
      (!fields.has("tasks") || fields.place("tasks").is_null() || fields.place("tasks").is_mapping())) {
    reading.error(fields.place("tasks"), "the pipeline has no tasks",
                  fmt::format("Add some to 'tasks', or models as {}/SCHEMA/TABLE.sql.", models));
  }
  pipeline.tasks = assembly.finish();
  return result;
}

}  // namespace weir::pipeline
