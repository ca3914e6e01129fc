#include <algorithm>

#include <fmt/format.h>

#include "pipeline/run/load_and_finish.h"
#include "pipeline/task/template.h"

namespace weir::pipeline {
namespace {

/// Binds the source, which may be a connection by its name, or by a parameter that is one; a value is never
/// bound itself. Where a secret is in it, answers what people see of it.
std::string bind_source(RunningTask& running, std::string& source) {
  const auto bound = [&](const std::string& text) {
    return bind_template(text, TemplateUse::value, running.context, running.at.project, &running.log);
  };
  const auto& connections = running.at.connections;
  std::string shown = has_secrets(source) ? source : "";
  auto known = connections.find(source);
  if (known == connections.end()) {
    source = bound(source);
    if (shown.empty()) known = connections.find(source);
  }
  if (known == connections.end()) return shown;
  if (has_secrets(known->second)) shown = known->first;
  source = bound(known->second);
  return shown;
}

/// The label of its source; what a file is called stays with what is rejected, and with what can be gone on
/// with.
std::string label_of_secret(const LoadBody& bound, const std::string& shown) {
  const auto option = [&](const char* name) {
    const auto found = bound.options.find(name);
    return found == bound.options.end() ? std::string() : found->second;
  };
  const load::SourceChoice source{.words = {bound.source}, .format = load::parse_format(option("format"))};
  if (load::said_format(source) != load::Format::postgres) {
    throw Error(ExitCode::failed,
                fmt::format("{} has to be the URL of a database: the names of files are no secrets", shown),
                "Write the file's name, or take a parameter: ${param:NAME}.");
  }
  return fmt::format("{} {}", shown, option("query").empty() ? option("table") : "(query)");
}

}  // namespace

work::Outcome run_load_body(RunningTask& running, const LoadBody& body) {
  LoadBody bound = body;
  const auto bind = [&](std::string& text) {
    text = bind_template(text, TemplateUse::argument, running.context, running.at.project);
  };
  const std::string shown = bind_source(running, bound.source);
  bind(bound.folder);
  for (std::string& word : bound.command) bind(word);
  for (auto& [option, value] : bound.options) bind(value);
  for (auto& [name, value] : bound.env)
    value = bind_template(value, TemplateUse::value, running.context, running.at.project);
  const std::string label = shown.empty() ? "" : label_of_secret(bound, shown);
  LoadOrder order = running.at.read_load(bound);
  order.options.source = label;
  return load_and_finish(running, std::move(order));
}

}  // namespace weir::pipeline
