#include "cli/project/project.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"
#include "cli/load/options.h"
#include "pipeline/define/definition_json.h"
#include "pipeline/define/diagnostics.h"
#include "pipeline/define/project_reader.h"
#include "schema/queries/pipelines.h"

namespace weir::cli {
namespace {

/// "postgresql://host/db": where something is, and no name of a file.
bool has_scheme(std::string_view source) {
  const std::size_t end = source.find("://");
  return end != std::string_view::npos && end > 0 &&
         std::all_of(source.begin(), source.begin() + static_cast<std::ptrdiff_t>(end),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+'; });
}

/// Beside the pipeline, where it is no path from the root.
std::string from_folder(const std::filesystem::path& folder, const std::string& source) {
  constexpr std::string_view kSqlite = "sqlite:";
  if (source.starts_with(kSqlite)) {
    std::string file = source.substr(kSqlite.size());
    if (file.starts_with("//")) file.erase(0, 2);
    return std::string(kSqlite) + (folder / file).string();
  }
  return source.empty() || has_scheme(source) ? source : (folder / source).string();
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

/// As if the words of the task stood behind `weir load`.
pipeline::LoadOrder read_load(const std::filesystem::path& project, const pipeline::LoadBody& body) {
  Arguments words;
  for (const auto& [option, value] : body.options) {
    if (option == "null") {
      for (const std::string_view line : lines_of(value)) words.set(option, std::string(line));
    } else {
      words.set(option, value == "true" ? std::string() : value);
    }
  }
  const std::filesystem::path folder = project / body.folder;
  if (body.command.empty()) {
    words.words = {from_folder(folder, body.source)};
  } else {
    words.rest = body.command;
  }
  words.set("into", body.into);
  LoadRequest request = read_load_options(words);
  request.source.command_folder = folder;
  request.source.command_env = {body.env.begin(), body.env.end()};
  return {std::move(request.source), std::move(request.options)};
}

}  // namespace

bool is_project(const std::filesystem::path& folder) {
  std::error_code failure;
  return std::filesystem::exists(folder / "weir.yml", failure);
}

pipeline::LoadCheck load_check() {
  return [](const pipeline::LoadBody& body) { read_load({}, body); };
}

pipeline::ProjectDefinition load_project(const Context& context, const std::filesystem::path& folder) {
  if (!is_project(folder)) {
    throw Error(ExitCode::usage, fmt::format("there is no weir.yml in {}", printable(folder.string())),
                "Go to a project's folder, or name it: --project DIR. A new one: weir init DIR");
  }
  pipeline::Diagnostics found;
  pipeline::ProjectDefinition project = pipeline::read_project(folder, found, load_check());
  if (!found.ok() || found.warnings() > 0) context.progress.block(to_text(found));
  if (!found.ok()) {
    throw Error(ExitCode::definition,
                fmt::format("{} mistake{} in the project", found.errors(), found.errors() == 1 ? "" : "s"),
                context.progress.silent() ? "weir check lists them."
                                          : "They are listed above; weir check says them again.");
  }
  return project;
}

pipeline::Surroundings task_surroundings(const pg::Conninfo& conninfo,
                                         const pipeline::ProjectDefinition& project,
                                         const std::filesystem::path& project_folder) {
  pg::Connector::Options options;
  options.users_search_path = true;
  const std::filesystem::path folder = std::filesystem::absolute(project_folder);
  return {.connector = std::make_shared<const pg::Connector>(conninfo, options),
          .project = folder,
          .connections = project.connections,
          .database_url = conninfo.url(),
          .read_load = [folder](const pipeline::LoadBody& body) { return read_load(folder, body); }};
}

DeployedPipeline find_pipeline(pg::Session& session, const std::string& name) {
  const auto found = session.run<sql::FindPipeline>(name);
  if (!found.empty() && !found[0].removed && found[0].version > 0) {
    const auto stored = session.run<sql::PipelineHash>(found[0].id, found[0].version);
    return {.id = found[0].id,
            .version = found[0].version,
            .paused = found[0].paused,
            .definition = pipeline::pipeline_from_json(stored.one().definition.text)};
  }
  std::vector<std::string> names;
  for (const auto& row : session.run<sql::PipelineNames>()) names.emplace_back(row.name);
  const std::vector<std::string_view> words(names.begin(), names.end());
  const auto near = closest(name, words);
  throw Error(ExitCode::usage, fmt::format("there is no pipeline '{}'", printable(name)),
              near            ? fmt::format("Did you mean '{}'?", *near)
              : words.empty() ? "None is deployed yet: weir deploy"
                              : fmt::format("There are: {}", fmt::join(words, ", ")));
}

void tell_where_nobody_works(Context& context, pg::Session& session) {
  const auto workers = session.run<sql::TaskWorkers>();
  if (workers.one().workers == 0)
    context.progress.note("nobody works on pipelines just now: weir up, or weir worker");
}

}  // namespace weir::cli
