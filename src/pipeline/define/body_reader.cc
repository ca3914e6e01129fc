#include "pipeline/define/body_reader.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "pipeline/define/load_words_check.h"
#include "pipeline/define/names.h"
#include "pipeline/define/yaml/scalar.h"

namespace weir::pipeline {
namespace {

using std::string_view_literals::operator""sv;

/// Keys of `load` that are options of `weir load` as they stand: max_rejects is --max-rejects.
constexpr std::array kTexts{"window"sv, "partition"sv,   "columns"sv,     "table"sv,
                            "query"sv,  "max_rejects"sv, "max_deletes"sv, "delimiter"sv,
                            "quote"sv,  "encoding"sv,    "comment"sv};
constexpr std::array kWords{"mode"sv, "schema"sv, "format"sv, "views"sv};
constexpr std::array kLists{"key"sv, "not_compared"sv, "history_columns"sv};
constexpr std::array kSwitches{"allow_empty"sv, "allow_mass_delete"sv, "reject_duplicates"sv, "staged"sv,
                               "trim"sv};
constexpr std::array kNumbers{"flatten"sv, "sample"sv};

constexpr const char* kRunTheTap =
    "A command can: shell: \"TAP | weir load --singer --into 'SCHEMA.*'\" with database: true.";

std::string option_name(std::string_view key) {
  std::string name(key);
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

/// "20%", and where `whole` "100" too.
bool is_share(std::string_view text, bool whole) noexcept {
  const bool percent = text.ends_with('%');
  if (percent) text.remove_suffix(1);
  if (!percent && !whole) return false;
  double number = -1;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return false;
  if (percent) return number >= 0 && number <= 100;
  return text.find_first_not_of("0123456789") == std::string_view::npos;
}

void read_options(Reading& reading, Fields& fields, const Allowed& values,
                  std::map<std::string, std::string>& options) {
  const Allowed times{.times = true};
  for (const std::string_view key : kTexts) {
    const auto said = fields.text(key);
    if (!said) continue;
    options[option_name(key)] = said->text;
    // A value within a query would be SQL; within the bounds of a window it is a bound.
    check_placeholders(reading, *said, key == "window" ? values : key == "query" ? times : Allowed{});
    const bool share = key == "max_rejects" || key == "max_deletes";
    if (share && !is_share(said->text, key == "max_rejects")) {
      reading.error(*said->node, fmt::format("'{}' is {}, which is no {}", key, in_quotes(said->text),
                                             key == "max_rejects" ? "number and no share such as 0.5%"
                                                                  : "share such as 20%"));
    }
  }
  const yaml::Node* const format = fields.value("format");
  if (format != nullptr && format->text == "singer")
    reading.error(*format, "a load cannot read what a Singer tap writes", kRunTheTap);
  for (const std::string_view key : kWords) {
    if (key == "format" && format != nullptr && format->text == "singer") continue;
    if (fields.word(key)) options[option_name(key)] = fields.value(key)->text;
  }
  for (const std::string_view key : kLists) {
    const auto said = fields.texts(key);
    if (!said.empty()) options[option_name(key)] = fmt::format("{}", fmt::join(texts_of(said), ","));
  }
  // One for each that stands for null: a comma is one of them, maybe.
  const auto nulls = fields.texts("null");
  if (!nulls.empty()) options["null"] = fmt::format("{}", fmt::join(texts_of(nulls), "\n"));
  for (const std::string_view key : kSwitches) {
    if (fields.boolean(key).value_or(false)) options[option_name(key)] = "true";
  }
  for (const std::string_view key : kNumbers) {
    if (const auto number = fields.integer(key)) options[option_name(key)] = std::to_string(*number);
  }
  if (fields.duration("lock_timeout")) options["lock-timeout"] = fields.value("lock_timeout")->text;
  if (const auto header = fields.boolean("header")) options[*header ? "header" : "no-header"] = "true";
}

/// What a mode cannot do without, and what has a meaning in one mode alone.
void check_mode(Reading& reading, Fields& fields, const std::map<std::string, std::string>& options) {
  const auto found = options.find("mode");
  const std::string mode = found == options.end() ? "refresh" : found->second;
  const auto needs = [&](std::string_view of, std::string_view key) {
    if (mode == of && !fields.has(key))
      reading.error(fields.place("mode"), fmt::format("mode {} needs '{}'", of, key));
  };
  needs("upsert", "key");
  needs("scd2", "key");
  needs("window", "window");
  needs("partition-swap", "partition");
  const auto only = [&](std::string_view key, std::string_view of) {
    if (fields.has(key) && mode != of) {
      reading.error(fields.place(key), fmt::format("'{}' has no meaning with mode {}", key, mode),
                    fmt::format("It is for mode {}.", of));
    }
  };
  only("window", "window");
  only("partition", "partition-swap");
  only("views", "swap");
  only("history_columns", "scd2");
}

}  // namespace

std::map<std::string, std::string> read_env(Reading& reading, Fields& task, const Allowed& values) {
  std::map<std::string, std::string> env;
  Allowed allowed = values;
  allowed.secrets = true;
  for (const yaml::Member* const member : task.members("env")) {
    const std::string& name = member->key.text;
    if (!is_variable_name(name)) {
      reading.error(member->key, fmt::format("{} cannot be the name of a variable", in_quotes(name)),
                    "A letter or _ comes first, then letters, digits and _.");
    } else if (name.starts_with("WEIR_")) {
      reading.error(member->key, fmt::format("{} is one of Weir's own variables", in_quotes(name)),
                    "Choose a name that does not begin with WEIR_.");
    }
    if (!member->value.is_scalar()) {
      reading.error(member->value, fmt::format("the variable {} must be a text, and is {}", in_quotes(name),
                                               yaml::describe(member->value)));
      continue;
    }
    check_placeholders(reading, {member->value.text, &member->value}, allowed);
    env[name] = member->value.text;
  }
  return env;
}

std::string read_folder(Reading& reading, Fields& task, const Files& files) {
  const auto said = task.text("folder");
  return said ? read_path(reading, *said, files, Files::What::folder) : reading.folder();
}

LoadBody read_load(Reading& reading, Fields fields, Fields& task, const ProjectScope& project,
                   const Allowed& values) {
  const std::size_t faults = reading.diagnostics().errors();
  LoadBody body;
  Allowed source = values;
  source.secrets = true;
  if (const auto said = fields.text("source")) {
    body.source = said->text;
    check_placeholders(reading, *said, source);
    if (body.source == "-") {
      reading.error(*said->node, "a task has no standard input to load",
                    "Name a file, or a 'command' that writes it.");
    }
  }
  for (const Said& word : fields.texts("command")) {
    check_placeholders(reading, word, values);
    body.command.push_back(word.text);
  }
  if (const auto into = fields.text("into")) {
    const auto relation = normal_relation(into->text);
    body.into = relation ? *relation : into->text;
    if (into->text.ends_with(".*")) {
      reading.error(*into->node,
                    fmt::format("'into' is {}, which is for Singer taps alone", in_quotes(into->text)),
                    kRunTheTap);
    } else if (!relation) {
      reading.error(*into->node, fmt::format("'into' is {}, which is no table", in_quotes(into->text)),
                    "Write schema.table; what SQL would not read as a plain name goes into double quotes.");
    }
  }
  read_options(reading, fields, values, body.options);
  check_mode(reading, fields, body.options);
  body.env = read_env(reading, task, values);
  body.folder = read_folder(reading, task, project.files);
  // What is wrong already would be told twice.
  if (reading.diagnostics().errors() == faults) check_load_words(reading, fields, body, project);
  return body;
}

WaitBody read_wait(Reading& reading, Fields fields, const PipelineScope& scope, const Allowed& values,
                   TaskLinks& links) {
  constexpr std::array kKinds{"sql"sv, "file"sv, "http"sv, "pipeline"sv};
  WaitBody body;
  const auto kind = std::find(kKinds.begin(), kKinds.end(), fields.kind());
  if (kind != kKinds.end()) {
    body.kind = static_cast<WaitBody::Kind>(kind - kKinds.begin());
    const auto said = fields.text(*kind);
    body.what = said ? said->text : "";
    Allowed allowed = values;
    if (said && body.kind == WaitBody::Kind::sql) refuse_placeholders(reading, *said, false);
    if (said && body.kind == WaitBody::Kind::file) check_placeholders(reading, *said, allowed);
    if (said && body.kind == WaitBody::Kind::http) {
      allowed.secrets = true;
      check_placeholders(reading, *said, allowed);
      if (!body.what.starts_with("http://") && !body.what.starts_with("https://") &&
          !body.what.starts_with("${")) {
        reading.error(*said->node, fmt::format("'http' is {}, which is no URL", in_quotes(body.what)),
                      "Write https://..");
      }
    }
    if (said && body.kind == WaitBody::Kind::pipeline)
      links.pipelines.push_back({body.what, reading.at(*said->node)});
  }
  if (body.kind == WaitBody::Kind::file) body.folder = reading.folder();
  body.connection = read_connection(reading, fields, scope.project);
  body.every = fields.duration("every").value_or(body.every);
  body.give_up = fields.duration("give_up");
  if (const auto then = fields.word("then")) body.skip_when_given_up = *then == 1;
  return body;
}

std::string read_connection(Reading& reading, Fields& fields, const ProjectScope& project) {
  const auto said = fields.text("connection");
  if (!said) return {};
  if (!project.connections.contains(said->text)) {
    const std::vector<std::string_view> known(project.connections.begin(), project.connections.end());
    reading.error(*said->node, fmt::format("there is no connection {}", in_quotes(said->text)),
                  reading.suggest(said->text, known, "Add it to 'connections' of weir.yml."));
  }
  return said->text;
}

}  // namespace weir::pipeline
