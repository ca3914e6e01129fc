#include "cli/project/deploying.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/term/table.h"

namespace weir::cli {
namespace {

using nlohmann::ordered_json;
using pipeline::PipelineChange;
using pipeline::PoolChange;
using Kind = PipelineChange::Kind;
using PoolKind = PoolChange::Kind;
using TaskKind = pipeline::TaskChange::Kind;

constexpr std::size_t kShown = 60;

std::string_view word(Kind kind) {
  switch (kind) {
    case Kind::added: return "added";
    case Kind::changed: return "changed";
    case Kind::unchanged: return "unchanged";
    case Kind::removed: return "removed";
  }
  return "";
}

std::string_view word(TaskKind kind) {
  switch (kind) {
    case TaskKind::added: return "added";
    case TaskKind::removed: return "removed";
    case TaskKind::changed: return "changed";
  }
  return "";
}

std::string text_of(const pipeline::FieldChange& change) {
  const auto side = [](const std::string& json) {
    return json.empty() ? std::string("default") : elide(printable(json), kShown);
  };
  return fmt::format("{}: {} > {}", change.field, side(change.before), side(change.after));
}

void show_text(Context& context, const PipelineChange& change) {
  const std::string version = change.version > 0 ? fmt::format(" (version {})", change.version) : "";
  context.out.line(fmt::format("{} {}{}", printable(change.name), word(change.kind), version));
  for (const auto& field : change.diff.pipeline) context.out.line("  " + text_of(field));
  for (const auto& task : change.diff.tasks) {
    context.out.line(fmt::format("  task {} {}", printable(task.task), word(task.kind)));
    for (const auto& field : task.fields) context.out.line("    " + text_of(field));
  }
}

std::string slots_text(std::optional<int> slots) {
  return slots ? fmt::format("{} slot{}", human_count(*slots), *slots == 1 ? "" : "s") : "no limit";
}

std::string text_of(const PoolChange& change) {
  const std::string name = printable(change.name);
  switch (change.kind) {
    case PoolKind::added: return fmt::format("pool {} added: {}", name, slots_text(change.after));
    case PoolKind::changed:
      return fmt::format("pool {} changed: {} > {}", name, slots_text(change.before),
                         slots_text(change.after));
    case PoolKind::kept:
      return fmt::format("pool {} is not in weir.yml, and keeps its {} ({}: {{}} there takes the limit away)",
                         name, slots_text(change.before), name);
  }
  return {};
}

std::string text_of(const pipeline::HistoryChange& change) {
  const std::string runs = change.lost == 0 ? ""
                                            : fmt::format(", which drops {} run{}", human_count(change.lost),
                                                          change.lost == 1 ? "" : "s");
  if (change.refrained) {
    return fmt::format("history stays {}d: {}d was said{}; weir deploy --yes does it", change.before_days,
                       change.after_days, runs);
  }
  return fmt::format("history changed: {}d > {}d{}", change.before_days, change.after_days, runs);
}

ordered_json json_of(const PoolChange& change) {
  constexpr std::array<std::string_view, 3> kWords{"added", "changed", "kept"};
  const auto slots = [](std::optional<int> number) {
    return number ? ordered_json(*number) : ordered_json();
  };
  return {{"pool", change.name},
          {"change", kWords.at(static_cast<std::size_t>(change.kind))},
          {"before", slots(change.before)},
          {"after", slots(change.after)}};
}

ordered_json json_of(const pipeline::FieldChange& change) {
  const auto side = [](const std::string& json) {
    return json.empty() ? ordered_json() : ordered_json::parse(json, nullptr, false);
  };
  return {{"field", change.field}, {"before", side(change.before)}, {"after", side(change.after)}};
}

ordered_json json_of(const PipelineChange& change) {
  ordered_json fields = ordered_json::array();
  for (const auto& field : change.diff.pipeline) fields.push_back(json_of(field));
  ordered_json tasks = ordered_json::array();
  for (const auto& task : change.diff.tasks) {
    ordered_json changed = ordered_json::array();
    for (const auto& field : task.fields) changed.push_back(json_of(field));
    tasks.push_back({{"task", task.task}, {"change", word(task.kind)}, {"fields", changed}});
  }
  return {{"pipeline", change.name},
          {"change", word(change.kind)},
          {"version", change.version > 0 ? ordered_json(change.version) : ordered_json()},
          {"fields", fields},
          {"tasks", tasks}};
}

}  // namespace

void show_deployment(Context& context, const pipeline::DeployReport& report, bool done) {
  if (context.global.json) {
    ordered_json pipelines = ordered_json::array();
    for (const auto& change : report.pipelines) pipelines.push_back(json_of(change));
    ordered_json pools = ordered_json::array();
    for (const PoolChange& change : report.pools) pools.push_back(json_of(change));
    ordered_json history;
    if (report.history) {
      history = {{"before_days", report.history->before_days},
                 {"after_days", report.history->after_days},
                 {"drops_runs", report.history->lost},
                 {"refrained", report.history->refrained}};
    }
    context.out.json({{"deployed", done}, {"pipelines", pipelines}, {"pools", pools}, {"history", history}});
    return;
  }
  std::size_t same = 0;
  for (const auto& change : report.pipelines) {
    if (change.kind == Kind::unchanged) {
      ++same;
    } else {
      show_text(context, change);
    }
  }
  if (same > 0) context.out.line(fmt::format("{} unchanged", same));
  if (report.pipelines.empty()) context.out.line("the project has no pipelines");
  for (const PoolChange& change : report.pools) context.out.line(text_of(change));
  if (report.history) context.out.line(text_of(*report.history));
  const bool pools = std::any_of(report.pools.begin(), report.pools.end(),
                                 [](const PoolChange& change) { return change.kind != PoolKind::kept; });
  const bool any = same < report.pipelines.size() || pools || report.history;
  if (!done && any) context.progress.note("nothing was changed; weir deploy does it");
}

}  // namespace weir::cli
