#include "pipeline/define/model_reader.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "pipeline/define/model_checks.h"
#include "pipeline/define/names.h"
#include "pipeline/define/placeholder.h"
#include "pipeline/define/task_reader.h"
#include "pipeline/define/yaml/parse.h"
#include "pipeline/define/yaml/places.h"

namespace weir::pipeline {
namespace {

constexpr std::size_t kDeepest = 10;
constexpr std::size_t kFaultsShown = 20;
constexpr std::string_view kEnding = ".sql";

void collect(const Files& files, const std::string& folder, std::size_t depth,
             std::vector<std::string>& found, Diagnostics& diagnostics) {
  for (const std::string& name : files.list(folder)) {
    const std::string path = folder + "/" + name;
    switch (files.look(path)) {
      case Files::What::file:
        if (name.ends_with(kEnding)) found.push_back(path);
        break;
      case Files::What::folder:
        if (depth < kDeepest) {
          collect(files, path, depth + 1, found, diagnostics);
        } else {
          diagnostics.error({path}, fmt::format("models are nested deeper than {} folders", kDeepest));
        }
        break;
      case Files::What::outside:
        diagnostics.error({path}, "it leads out of the project", "Copy it into the project's folder.");
        break;
      case Files::What::absent:
      case Files::What::other: diagnostics.error({path}, "it cannot be read"); break;
    }
  }
}

/// models/mart/daily.sql > mart, daily. Folders in between are for people.
std::pair<std::string, std::string> name_of(const std::string& file, const std::string& folder) {
  const std::string_view below = std::string_view(file).substr(folder.size() + 1);
  const std::size_t first = below.find('/');
  std::string_view stem = below.substr(first == std::string_view::npos ? 0 : below.rfind('/') + 1);
  stem.remove_suffix(kEnding.size());
  return {std::string(first == std::string_view::npos ? std::string_view() : below.substr(0, first)),
          std::string(stem)};
}

void read_materialization(Reading& reading, Fields& fields, ModelBody& body) {
  if (const auto kind = fields.word("materialized")) body.kind = static_cast<ModelBody::Kind>(*kind);
  body.key = texts_of(fields.texts("key"));
  if (const auto column = fields.text("window")) body.window_column = column->text;
  const std::string_view kind = materialized_words()[static_cast<std::size_t>(body.kind)];
  const bool said = fields.word("strategy").has_value();
  if (said) body.strategy = fields.value("strategy")->text;
  const auto fits = [&](std::initializer_list<std::string_view> strategies) {
    return std::find(strategies.begin(), strategies.end(), body.strategy) != strategies.end();
  };
  if (body.kind == ModelBody::Kind::view && said) {
    reading.error(fields.place("strategy"), "a view has no strategy");
  } else if (body.kind == ModelBody::Kind::table && said && !fits({"refresh", "swap"})) {
    reading.error(fields.place("strategy"),
                  fmt::format("a table has no strategy {}", in_quotes(body.strategy)),
                  "It has refresh and swap; with 'materialized: incremental' upsert, append and window.");
  } else if (body.kind == ModelBody::Kind::incremental && !fits({"upsert", "append", "window"})) {
    reading.error(said ? fields.place("strategy") : fields.place("materialized"),
                  said ? fmt::format("an incremental model has no strategy {}", in_quotes(body.strategy))
                       : "an incremental model needs 'strategy'",
                  "It has upsert (with 'key'), append and window (with 'window').");
  }
  if (body.kind == ModelBody::Kind::table && !said) body.strategy = "refresh";
  if (body.strategy == "upsert" && body.key.empty() && !fields.has("key")) {
    reading.error(fields.place("strategy"),
                  "strategy upsert needs 'key': the columns that tell which row is which");
  }
  if (body.strategy == "window" && body.window_column.empty() && !fields.has("window")) {
    reading.error(fields.place("strategy"),
                  "strategy window needs 'window': the column that the interval bounds");
  }
  if (fields.has("window") && body.strategy != "window") {
    reading.error(fields.place("window"),
                  fmt::format("'window' has no meaning with {} {}", kind, body.strategy));
  }
  if (fields.has("key") && body.kind == ModelBody::Kind::view) {
    reading.error(fields.place("key"), "'key' has no meaning with a view");
  }
}

void scan_sql(Reading& reading, std::size_t offset, PendingModel& model) {
  model.scan = scan_query(model.text);
  yaml::Places places(reading.source());
  std::size_t shown = 0;
  for (const SqlFault& fault : model.scan.faults) {
    if (shown++ == kFaultsShown) break;
    reading.error(reading.at(places.at(offset + fault.offset)), fault.message, fault.remedy);
  }
  for (const SqlReference& reference : model.scan.references) {
    model.places.push_back(reading.at(places.at(offset + reference.offset)));
  }
}

/// The comment's YAML; an empty mapping where there is none to use.
yaml::Node read_front(Reading& reading, const ModelText& split) {
  yaml::Node nothing{.kind = yaml::Node::Kind::mapping, .place = {1, 1}};
  if (split.unclosed) {
    reading.error(nothing, "the comment '/* weir' never ends", "Close it with */.");
    return nothing;
  }
  yaml::Parsed parsed = yaml::parse(split.front);
  for (yaml::Fault& fault : parsed.faults) {
    reading.error(reading.at(fault.place), std::move(fault.message), std::move(fault.remedy));
  }
  return parsed.root && !parsed.root->is_null() ? std::move(*parsed.root) : nothing;
}

std::string find_relation(const std::string& name, const RefTargets& targets, const Position& position,
                          Diagnostics& diagnostics, std::vector<int>& upstream, int self) {
  auto found = targets.find(name);
  if (found == targets.end()) {
    const auto normal = normal_relation(name);
    if (normal) found = targets.find(*normal);
  }
  if (found == targets.end()) {
    std::vector<std::string_view> known;
    for (const auto& [target, unused] : targets) known.push_back(target);
    std::string remedy = diagnostics.suggest(name, known);
    if (remedy.empty())
      remedy = "ref() names a model or a table that a load of the pipeline makes; others stand as they are.";
    diagnostics.error(position, fmt::format("nothing in the pipeline makes {}", in_quotes(name)),
                      std::move(remedy));
    return {};
  }
  if (found->second.ambiguous) {
    diagnostics.error(position, fmt::format("more than one table is called {}", in_quotes(name)),
                      "Write schema.table.");
  }
  if (found->second.task == self) {
    diagnostics.error(position, fmt::format("{} refers to itself", in_quotes(name)),
                      "What the table holds so far is read with this().");
    return found->second.relation;
  }
  upstream.push_back(found->second.task);
  return found->second.relation;
}

}  // namespace

std::vector<std::string> model_files(const Files& files, const std::string& folder,
                                     Diagnostics& diagnostics) {
  std::vector<std::string> found;
  const Files::What what = files.look(folder);
  if (what == Files::What::absent) return found;
  try {
    if (what == Files::What::folder) {
      collect(files, folder, 0, found, diagnostics);
    } else {
      diagnostics.error({folder},
                        what == Files::What::outside ? "it leads out of the project" : "it is no folder");
    }
  } catch (const Error& error) {
    diagnostics.error({folder}, error.what(), error.remedy());
  }
  return found;
}

PendingModel read_model(const std::string& file, const std::string& folder, const PipelineScope& scope,
                        Diagnostics& diagnostics) {
  const auto [schema, stem] = name_of(file, folder);
  const std::string name = schema.empty() ? stem : schema + "." + stem;
  PendingModel model{.task = {.name = name, .body = ModelBody{}, .position = {file, 1, 1}}};
  const yaml::Node top{.kind = yaml::Node::Kind::mapping, .place = {1, 1}};
  Reading empty(diagnostics, file, {});
  const std::string text = read_sql_file(empty, top, file, scope.project.files);
  if (trim(text).empty()) return model;
  diagnostics.add_source(file, text);
  Reading reading(diagnostics, file, text);
  if (const auto fault = name_fault(name)) {
    reading.error(top, fmt::format("{} cannot be the name of a model: {}", in_quotes(name), *fault));
  }
  const ModelText split = split_model(text);
  const yaml::Node front = read_front(reading, split);
  Fields fields(reading, front, model_object());
  ModelBody body{.file = file,
                 .relation = (schema.empty() ? "public" : sql_name(schema)) + "." + sql_name(stem)};
  if (front.is_mapping()) {
    read_scheduling(reading, fields, scope, model.task, model.after);
    read_materialization(reading, fields, body);
    if (const auto said = fields.text("relation")) {
      const auto relation = normal_relation(said->text);
      if (!relation || relation->find('.') == std::string::npos) {
        reading.error(*said->node,
                      fmt::format("'relation' is {}, which is no schema.table", in_quotes(said->text)));
      } else {
        body.relation = *relation;
      }
    }
    model.checks = read_checks(reading, fields, body.relation);
  }
  auto& produces = model.task.produces;
  if (std::find(produces.begin(), produces.end(), body.relation) == produces.end())
    produces.push_back(body.relation);
  model.text = text.substr(split.sql);
  // Behind a comment that never ends is nothing to look at.
  if (!split.unclosed) {
    scan_sql(reading, split.sql, model);
    refuse_placeholders(reading);
  }
  model.task.body = std::move(body);
  return model;
}

std::vector<int> resolve_model(PendingModel& model, int self, const RefTargets& targets,
                               Diagnostics& diagnostics) {
  std::vector<int> upstream;
  auto& body = std::get<ModelBody>(model.task.body);
  std::size_t nth = 0;
  if (model.scan.faults.empty()) {
    body.select = replace_references(model.text, model.scan, [&](const SqlReference& reference) {
      const Position& place = model.places[nth++];
      if (reference.name.empty()) return body.relation;
      return find_relation(reference.name, targets, place, diagnostics, upstream, self);
    });
  }
  for (PendingModel::PendingCheck& pending : model.checks) {
    if (!pending.to.empty()) {
      // A table that no task of the pipeline makes may be meant, if it is named in full.
      const auto relation = normal_relation(pending.to);
      const bool known = targets.contains(pending.to) || (relation && targets.contains(*relation));
      const bool foreign = !known && relation && relation->find('.') != std::string::npos;
      const std::string to =
          foreign ? *relation
                  : find_relation(pending.to, targets, pending.position, diagnostics, upstream, self);
      pending.check.sql = std::string(pending.sql).insert(pending.to_goes, to);
    } else if (!pending.sql.empty()) {
      pending.check.sql = replace_references(pending.sql, pending.scan, [&](const SqlReference& reference) {
        if (reference.name.empty()) return body.relation;
        return find_relation(reference.name, targets, pending.position, diagnostics, upstream, self);
      });
    }
    body.checks.push_back(std::move(pending.check));
  }
  return upstream;
}

}  // namespace weir::pipeline
