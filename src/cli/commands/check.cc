#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/project/project.h"
#include "cli/term/table.h"
#include "pipeline/define/keys.h"
#include "pipeline/define/project_reader.h"
#include "pipeline/define/schema_json.h"

namespace weir::cli {
namespace {

using pipeline::PipelineDefinition;
using pipeline::ScheduleDefinition;

struct SchemaOf {
  std::string_view word;
  std::string_view title;
  const pipeline::Object& (*object)() noexcept;
};
constexpr std::array kSchemas{
    SchemaOf{"pipeline", "pipeline.yml of Weir", &pipeline::pipeline_object},
    SchemaOf{"project", "weir.yml", &pipeline::project_object},
    SchemaOf{"model", "the comment on top of a model of Weir", &pipeline::model_object},
};

/// As one writes it: in the largest unit that it is a whole number of.
std::string interval_text(Duration span) {
  constexpr std::array<std::pair<Duration, std::string_view>, 4> kUnits{{{std::chrono::hours(24), "d"},
                                                                         {std::chrono::hours(1), "h"},
                                                                         {std::chrono::minutes(1), "m"},
                                                                         {std::chrono::seconds(1), "s"}}};
  for (const auto& [unit, letter] : kUnits) {
    if (span % unit == Duration::zero()) return fmt::format("{}{}", span / unit, letter);
  }
  return fmt::format("{}ms", span / std::chrono::milliseconds(1));
}

std::string when(const ScheduleDefinition& schedule) {
  if (!schedule.cron.empty()) {
    return schedule.timezone == "UTC" ? schedule.cron
                                      : fmt::format("{} {}", schedule.cron, schedule.timezone);
  }
  if (schedule.every) return fmt::format("every {}", interval_text(*schedule.every));
  if (!schedule.datasets.empty()) return fmt::format("after {}", fmt::join(schedule.datasets, ", "));
  return "by hand";
}

std::string count(std::size_t number, std::string_view one) {
  return fmt::format("{} {}{}", human_count(static_cast<std::int64_t>(number)), one, number == 1 ? "" : "s");
}

void show_text(Output& out, const pipeline::ProjectDefinition& project, const pipeline::Diagnostics& found) {
  out.write(to_text(found));
  if (!found.ok()) {
    const std::string warnings = found.warnings() == 0 ? "" : ", " + count(found.warnings(), "warning");
    out.line(count(found.errors(), "error") + warnings);
    return;
  }
  Table table({{"PIPELINE"}, {"TASKS", Table::Align::right}, {"RUNS"}});
  for (const PipelineDefinition& one : project.pipelines) {
    table.add({one.name, human_count(static_cast<std::int64_t>(one.tasks.size())), when(one.schedule)});
  }
  if (!project.pipelines.empty()) out.write(table.render(out.paint()));
  const std::string warnings = found.warnings() == 0 ? "no mistake" : count(found.warnings(), "warning");
  out.line(fmt::format("{}: {}, {}", printable(project.name), count(project.pipelines.size(), "pipeline"),
                       warnings));
}

void show_json(Output& out, const pipeline::ProjectDefinition& project, const pipeline::Diagnostics& found) {
  auto pipelines = nlohmann::ordered_json::array();
  if (found.ok()) {
    for (const PipelineDefinition& one : project.pipelines) {
      pipelines.push_back({{"pipeline", one.name},
                           {"file", one.file},
                           {"tasks", one.tasks.size()},
                           {"runs", when(one.schedule)}});
    }
  }
  out.json({{"ok", found.ok()},
            {"project", project.name},
            {"errors", found.errors()},
            {"warnings", found.warnings()},
            {"diagnostics", to_json(found)},
            {"pipelines", pipelines}});
}

ExitCode show_schema(Output& out, const std::string& word) {
  std::vector<std::string_view> known;
  for (const SchemaOf& one : kSchemas) {
    known.push_back(one.word);
    if (one.word != word) continue;
    out.json(pipeline::json_schema(one.object(), one.title));
    return ExitCode::ok;
  }
  const auto near = closest(word, known);
  throw Error(ExitCode::usage,
              fmt::format("--schema is '{}', which is none of: {}", printable(word), fmt::join(known, ", ")),
              near ? fmt::format("Did you mean '{}'?", *near) : "See: weir help check");
}

ExitCode run_check(Context& context) {
  const Arguments& given = context.arguments;
  if (const auto word = given.value("schema")) return show_schema(context.out, *word);
  if (given.words.size() > 1) throw Error(ExitCode::usage, "check takes one folder", "See: weir help check");
  const std::filesystem::path folder =
      given.words.empty() ? context.global.project : context.global.project / given.words.front();
  pipeline::Diagnostics found;
  const pipeline::ProjectDefinition project = pipeline::read_project(folder, found, load_check());
  (context.global.json ? show_json : show_text)(context.out, project, found);
  return found.ok() ? ExitCode::ok : ExitCode::definition;
}

}  // namespace

Command check_command() {
  return {
      .path = "check",
      .summary = "look through the definitions of a project, and say all that is wrong",
      .description =
          "Reads weir.yml, the pipelines and their models; connects to nothing and resolves no secret. All\n"
          "mistakes are told at once, each with file, line and column; then the exit code is 3. What can be\n"
          "written: docs/pipelines.md.",
      .options = {{"schema", 0, "WORD",
                   "print the JSON Schema of pipeline, project or model, for editors, and check nothing"}},
      .words = "[DIR]",
      .examples = {{"weir check", "the project in the current folder"},
                   {"weir check demo --json", "for editors and CI"},
                   {"weir check --schema pipeline > pipeline.schema.json", "completion in an editor"}},
      .run = run_check};
}

}  // namespace weir::cli
