#include "pipeline/define/definition_json.h"

#include <algorithm>
#include <array>
#include <span>
#include <type_traits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/hash.h"
#include "pipeline/define/keys.h"
#include "pipeline/define/reading.h"

namespace weir::pipeline {
namespace {

using Json = nlohmann::json;
using std::string_view_literals::operator""sv;

constexpr std::array kWaitKinds{"sql"sv, "file"sv, "http"sv, "pipeline"sv};
constexpr std::array kBodies{"sql"sv, "run"sv, "load"sv, "wait"sv, "model"sv};

[[noreturn]] void throw_unfit(const std::string& what) {
  throw Error(ExitCode::definition, fmt::format("a stored definition cannot be read: {}", what),
              "A newer weir may have written it: use that one, or deploy the pipeline again.");
}

// Every field that is stored, once: what writes and what reads go through the same lists.
template <class Io>
void fields(Io& io, Retry& /*of*/) {
  io("attempts", &Retry::attempts);
  io("delay", &Retry::delay);
  io("exponential", &Retry::exponential);
  io("max_delay", &Retry::max_delay);
  io("jitter", &Retry::jitter);
}
template <class Io>
void fields(Io& io, SqlBody& /*of*/) {
  io("text", &SqlBody::text);
  io("file", &SqlBody::file);
  io("connection", &SqlBody::connection);
  io("transaction", &SqlBody::transaction);
  io("allow_blocking", &SqlBody::allow_blocking);
}
template <class Io>
void fields(Io& io, RunBody& /*of*/) {
  io("argv", &RunBody::argv);
  io("shell", &RunBody::shell);
  io("env", &RunBody::env);
  io("folder", &RunBody::folder);
  io("skip_exit_code", &RunBody::skip_exit_code);
  io("database", &RunBody::database);
}
template <class Io>
void fields(Io& io, LoadBody& /*of*/) {
  io("source", &LoadBody::source);
  io("command", &LoadBody::command);
  io("into", &LoadBody::into);
  io("options", &LoadBody::options);
  io("env", &LoadBody::env);
  io("folder", &LoadBody::folder);
}
template <class Io>
void fields(Io& io, WaitBody& /*of*/) {
  io("kind", &WaitBody::kind);
  io("what", &WaitBody::what);
  io("folder", &WaitBody::folder);
  io("connection", &WaitBody::connection);
  io("every", &WaitBody::every);
  io("give_up", &WaitBody::give_up);
  io("skip_when_given_up", &WaitBody::skip_when_given_up);
}
template <class Io>
void fields(Io& io, Check& /*of*/) {
  io("name", &Check::name);
  io("sql", &Check::sql);
  io("blocking", &Check::blocking);
}
template <class Io>
void fields(Io& io, ModelBody& /*of*/) {
  io("kind", &ModelBody::kind);
  io("select", &ModelBody::select);
  io("file", &ModelBody::file);
  io("relation", &ModelBody::relation);
  io("key", &ModelBody::key);
  io("strategy", &ModelBody::strategy);
  io("window_column", &ModelBody::window_column);
  io("checks", &ModelBody::checks);
}
template <class Io>
void fields(Io& io, MapSource& /*of*/) {
  io("sql", &MapSource::sql);
  io("list", &MapSource::list);
  io("max_parallel", &MapSource::max_parallel);
}
template <class Io>
void fields(Io& io, TaskDefinition& /*of*/) {
  io("name", &TaskDefinition::name);
  io("body", &TaskDefinition::body);
  io("map", &TaskDefinition::map);
  io("upstream", &TaskDefinition::upstream);
  io("downstream", &TaskDefinition::downstream);
  io("rule", &TaskDefinition::rule);
  io("pool", &TaskDefinition::pool);
  io("slots", &TaskDefinition::slots);
  io("priority", &TaskDefinition::priority);
  io("retry", &TaskDefinition::retry);
  io("timeout", &TaskDefinition::timeout);
  io("when", &TaskDefinition::when);
  io("allow_failure", &TaskDefinition::allow_failure);
  io("produces", &TaskDefinition::produces);
}
template <class Io>
void fields(Io& io, DstRule& /*of*/) {
  io("gap", &DstRule::gap);
  io("overlap", &DstRule::overlap);
}
template <class Io>
void fields(Io& io, ScheduleDefinition& /*of*/) {
  io("cron", &ScheduleDefinition::cron);
  io("every", &ScheduleDefinition::every);
  io("datasets", &ScheduleDefinition::datasets);
  io("timezone", &ScheduleDefinition::timezone);
  io("missed", &ScheduleDefinition::missed);
  io("dst", &ScheduleDefinition::dst);
  io("start", &ScheduleDefinition::start);
  io("end", &ScheduleDefinition::end);
}
template <class Io>
void fields(Io& io, Parameter& /*of*/) {
  io("name", &Parameter::name);
  io("type", &Parameter::type);
  io("default", &Parameter::default_value);
  io("choices", &Parameter::choices);
}
template <class Io>
void fields(Io& io, Alert& /*of*/) {
  io("when", &Alert::when);
  io("to", &Alert::to);
  io("run", &Alert::run);
  io("folder", &Alert::folder);
}
template <class Io>
void fields(Io& io, PipelineDefinition& /*of*/) {
  io("name", &PipelineDefinition::name);
  io("file", &PipelineDefinition::file);
  io("description", &PipelineDefinition::description);
  io("schedule", &PipelineDefinition::schedule);
  io("parameters", &PipelineDefinition::parameters);
  io("tasks", &PipelineDefinition::tasks);
  io("max_active_runs", &PipelineDefinition::max_active_runs);
  io("deadline", &PipelineDefinition::deadline);
  io("alerts", &PipelineDefinition::alerts);
}

std::span<const std::string_view> words(TriggerRule /*of*/) { return trigger_rule_words(); }
std::span<const std::string_view> words(DstRule::Gap /*of*/) { return gap_words(); }
std::span<const std::string_view> words(DstRule::Overlap /*of*/) { return overlap_words(); }
std::span<const std::string_view> words(Missed /*of*/) { return missed_words(); }
std::span<const std::string_view> words(Parameter::Type /*of*/) { return parameter_type_words(); }
std::span<const std::string_view> words(ModelBody::Kind /*of*/) { return materialized_words(); }
std::span<const std::string_view> words(WaitBody::Kind /*of*/) { return kWaitKinds; }

template <class Value>
concept Plain = std::is_same_v<Value, std::string> || std::is_same_v<Value, int> ||
                std::is_same_v<Value, bool> || std::is_same_v<Value, std::map<std::string, std::string>>;
template <class Value>
concept Word = std::is_enum_v<Value>;

template <class Struct>
Json write(const Struct& value);
template <Plain Value>
Json write(const Value& value) {
  return value;
}
template <Word Value>
Json write(const Value& value) {
  return words(value)[static_cast<std::size_t>(value)];
}
Json write(const Duration& value) { return value.count(); }
Json write(const WallTime& value) { return value.time_since_epoch().count(); }
template <class Value>
Json write(const std::optional<Value>& value) {
  return write(*value);
}
template <class Value>
Json write(const std::vector<Value>& value) {
  Json list = Json::array();
  for (const Value& item : value) list.push_back(write(item));
  return list;
}
template <class... Bodies>
Json write(const std::variant<Bodies...>& value) {
  Json json = Json::object();
  json[std::string(kBodies.at(value.index()))] =
      std::visit([](const auto& body) { return write(body); }, value);
  return json;
}

template <class Struct>
struct Writer {
  const Struct& value;
  Struct fresh{};
  Json json = Json::object();

  template <class Value>
  void operator()(const char* name, Value Struct::*member) {
    if (!(value.*member == fresh.*member)) json[name] = write(value.*member);
  }
};

template <class Struct>
Json write(const Struct& value) {
  Writer<Struct> writer{value};
  fields(writer, writer.fresh);
  return std::move(writer.json);
}

template <class Struct>
void read(const Json& json, Struct& value);
template <Plain Value>
void read(const Json& json, Value& value) {
  json.get_to(value);
}
template <Word Value>
void read(const Json& json, Value& value) {
  const auto known = words(value);
  const auto found = std::find(known.begin(), known.end(), json.get<std::string>());
  if (found == known.end()) throw_unfit(fmt::format("{} is unknown", in_quotes(json.get<std::string>())));
  value = static_cast<Value>(found - known.begin());
}
void read(const Json& json, Duration& value) { value = Duration(json.get<Duration::rep>()); }
void read(const Json& json, WallTime& value) {
  value = WallTime(WallTime::duration(json.get<std::int64_t>()));
}
template <class Value>
void read(const Json& json, std::optional<Value>& value) {
  read(json, value.emplace());
}
template <class Value>
void read(const Json& json, std::vector<Value>& value) {
  if (!json.is_array()) throw_unfit("a list is none");
  for (const Json& item : json) {
    if constexpr (std::is_same_v<Value, TaskDefinition>) {
      read(item, value.emplace_back(TaskDefinition{.body = SqlBody{}}));
    } else {
      read(item, value.emplace_back());
    }
  }
}
template <std::size_t N = 0, class... Bodies>
void read(const Json& json, std::variant<Bodies...>& value) {
  if constexpr (N == sizeof...(Bodies)) {
    throw_unfit("a task is of an unknown kind");
  } else if (json.is_object() && json.size() == 1 && json.contains(std::string(kBodies.at(N)))) {
    read(json.begin().value(), value.template emplace<N>());
  } else {
    read<N + 1>(json, value);
  }
}

template <class Struct>
struct Reader {
  const Json& json;
  Struct& value;
  std::size_t taken = 0;
  std::vector<std::string> known{};

  template <class Value>
  void operator()(const char* name, Value Struct::*member) {
    known.emplace_back(name);
    const auto found = json.find(name);
    if (found == json.end()) return;
    ++taken;
    read(*found, value.*member);
  }
};

template <class Struct>
void read(const Json& json, Struct& value) {
  if (!json.is_object()) throw_unfit("an object is none");
  Reader<Struct> reader{json, value};
  fields(reader, value);
  if (reader.taken == json.size()) return;
  for (const auto& [key, unused] : json.items()) {
    if (std::find(reader.known.begin(), reader.known.end(), key) == reader.known.end()) {
      throw_unfit(fmt::format("{} is unknown", in_quotes(key)));
    }
  }
}

void check_edges(const PipelineDefinition& pipeline) {
  const auto count = static_cast<int>(pipeline.tasks.size());
  for (int i = 0; i < count; ++i) {
    const TaskDefinition& task = pipeline.tasks[static_cast<std::size_t>(i)];
    const bool up =
        std::all_of(task.upstream.begin(), task.upstream.end(), [&](int n) { return n >= 0 && n < i; });
    const bool down = std::all_of(task.downstream.begin(), task.downstream.end(),
                                  [&](int n) { return n > i && n < count; });
    if (!up || !down) throw_unfit(fmt::format("the edges of task {} lead nowhere", in_quotes(task.name)));
  }
}

}  // namespace

std::string to_json(const PipelineDefinition& pipeline) { return write(pipeline).dump(); }

PipelineDefinition pipeline_from_json(std::string_view text) {
  PipelineDefinition pipeline;
  try {
    read(Json::parse(text), pipeline);
  } catch (const Json::exception& error) {
    throw_unfit(error.what());
  }
  check_edges(pipeline);
  return pipeline;
}

std::string definition_hash(const PipelineDefinition& pipeline) {
  return fmt::format("{:016x}", fnv1a(to_json(pipeline)));
}

}  // namespace weir::pipeline
