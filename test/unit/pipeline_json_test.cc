// A definition as JSON and back, what two of them differ in, and the schemas for editors.
#include <functional>
#include <set>
#include <string>

#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>
#include <rapidcheck/gtest.h>

#include "pipeline/define/definition_diff.h"
#include "pipeline/define/definition_json.h"
#include "pipeline/define/keys.h"
#include "pipeline/define/schema_json.h"
#include "support/errors.h"
#include "support/project_text.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using namespace pipeline;
using ::testing::ElementsAre;

/// Any value of any field; texts are UTF-8, as those of a definition are.
struct Any {
  static std::string text() {
    static const std::vector<std::string> kTexts{"",         "a", "日本",    "\"quoted\"\n\\",
                                                 "${env:X}", "0", "select 1"};
    return *rc::gen::elementOf(kTexts);
  }
  static int number() { return *rc::gen::arbitrary<int>(); }
  static bool flag() { return *rc::gen::arbitrary<bool>(); }
  static Duration span() { return Duration(*rc::gen::arbitrary<std::int64_t>()); }
  static std::size_t below(std::size_t end) { return *rc::gen::inRange<std::size_t>(0, end); }
  template <class Enum>
  static Enum word(std::size_t count) {
    return static_cast<Enum>(below(count));
  }
  template <class Make>
  static auto maybe(Make make) -> std::optional<decltype(make())> {
    return flag() ? std::optional(make()) : std::nullopt;
  }
  template <class Make>
  static auto some(Make make) {
    std::vector<decltype(make())> list;
    for (std::size_t count = below(3); count > 0; --count) list.push_back(make());
    return list;
  }
  static std::map<std::string, std::string> map() {
    std::map<std::string, std::string> made;
    for (std::size_t count = below(3); count > 0; --count) made[text()] = text();
    return made;
  }
  static WallTime wall() { return WallTime(std::chrono::microseconds(*rc::gen::arbitrary<std::int64_t>())); }

  static decltype(TaskDefinition::body) body() {
    switch (below(5)) {
      case 0: return SqlBody{text(), text(), text(), flag(), text()};
      case 1: return RunBody{some(text), text(), map(), text(), maybe(number), flag()};
      case 2: return LoadBody{text(), some(text), text(), map(), map(), text()};
      case 3: return WaitBody{word<WaitBody::Kind>(4), text(), text(), text(), span(), maybe(span), flag()};
      default:
        return ModelBody{
            word<ModelBody::Kind>(3), text(), text(), text(), some(text), text(), text(), some([] {
              return Check{text(), text(), flag()};
            })};
    }
  }
  static TaskDefinition task() {
    return {.name = text(),
            .body = body(),
            .map = maybe([] {
              return MapSource{text(), some(text), maybe(number)};
            }),
            .rule = word<TriggerRule>(7),
            .pool = text(),
            .slots = number(),
            .priority = number(),
            .retry = {number(), span(), flag(), span(), flag()},
            .timeout = maybe(span),
            .when = text(),
            .allow_failure = flag(),
            .produces = some(text)};
  }
  static PipelineDefinition pipeline() {
    PipelineDefinition made{.name = text(),
                            .file = text(),
                            .description = text(),
                            .schedule = {text(),
                                         maybe(span),
                                         some(text),
                                         text(),
                                         word<Missed>(3),
                                         {word<DstRule::Gap>(2), word<DstRule::Overlap>(3)},
                                         maybe(wall),
                                         maybe(wall)},
                            .parameters = some([] {
                              return Parameter{text(), word<Parameter::Type>(6), maybe(text), some(text)};
                            }),
                            .tasks = some(task),
                            .max_active_runs = number(),
                            .deadline = maybe(span),
                            .alerts = some([] {
                              return Alert{some(text), text(), some(text), text()};
                            })};
    for (std::size_t i = 1; i < made.tasks.size(); ++i) {
      if (!flag()) continue;
      made.tasks[i].upstream.push_back(static_cast<int>(i) - 1);
      made.tasks[i - 1].downstream.push_back(static_cast<int>(i));
    }
    return made;
  }
};

RC_GTEST_PROP(PipelineJson, ComesBackAsItWas, ()) {
  const PipelineDefinition pipeline = Any::pipeline();
  const std::string json = to_json(pipeline);
  const PipelineDefinition again = pipeline_from_json(json);
  RC_ASSERT(again == pipeline);
  RC_ASSERT(to_json(again) == json);
}

RC_GTEST_PROP(PipelineJson, DefinitionsThatDifferHaveADifference, ()) {
  const PipelineDefinition before = Any::pipeline();
  PipelineDefinition after = before;
  if (Any::flag()) after = Any::pipeline();
  // Two tasks of one name are refused by the reader.
  std::set<std::string> names;
  for (const auto& task : before.tasks) RC_PRE(names.insert(task.name).second);
  names.clear();
  for (const auto& task : after.tasks) RC_PRE(names.insert(task.name).second);
  if (to_json(before) == to_json(after)) RC_ASSERT(diff(before, after).empty());
  if (!diff(before, after).empty()) RC_ASSERT(definition_hash(before) != definition_hash(after));
}

TEST(PipelineJson, SaysNothingOfWhatIsDefaultAndOfPlaces) {
  PipelineDefinition pipeline{.name = "p"};
  pipeline.tasks.push_back({.name = "t", .body = SqlBody{.text = "select 1"}, .position = {"f", 3, 4}});
  EXPECT_EQ(to_json(pipeline), R"({"name":"p","tasks":[{"body":{"sql":{"text":"select 1"}},"name":"t"}]})");
  EXPECT_EQ(definition_hash(pipeline), "546453935eec517d")
      << "what is stored under it would be deployed once more";
  pipeline.tasks[0].position.line = 99;
  EXPECT_EQ(definition_hash(pipeline), "546453935eec517d");
}

TEST(PipelineJson, RefusesWhatItDoesNotKnow) {
  for (const std::string text :
       {"", "[]", "{", R"({"name":1})", R"({"nme":"x"})", R"({"tasks":{}})",
        R"({"tasks":[{"name":"t","body":{"run":{},"sql":{}}}]})",
        R"({"tasks":[{"name":"t","body":{"python":{}}}]})", R"({"tasks":[{"name":"t","rule":"sometimes"}]})",
        R"({"tasks":[{"name":"t","upstream":[0]}]})", R"({"tasks":[{"name":"t","downstream":[1]}]})"}) {
    const Error error = error_of([&] { pipeline_from_json(text); });
    EXPECT_EQ(error.exit_code(), ExitCode::definition) << text;
    EXPECT_TRUE(has(error.what(), "a stored definition cannot be read: ")) << text;
  }
}

TEST(PipelineDiff, NamesTasksAndFields) {
  const auto read = [](const std::string& text) {
    const ReadProject project = read_pipeline_text(text);
    EXPECT_EQ(told(project.diagnostics), std::vector<std::string>{});
    return project.project.pipelines.at(0);
  };
  const PipelineDefinition before = read(
      "schedule: {cron: 0 6 * * *}\ntasks:\n"
      "  gone: {sql: x}\n  same: {sql: x}\n  a: {sql: x, after: same}\n  b: {run: [x], retry: 2}\n");
  const PipelineDefinition after = read(
      "schedule: {cron: 0 7 * * *, timezone: Europe/Paris}\ntasks:\n"
      "  b: {shell: x, retry: 3, pool: default}\n  new: {sql: x}\n  a: {sql: y, after: [same, new]}\n  same: "
      "{sql: x} # a comment\n");
  std::vector<std::string> lines;
  const auto add = [&](const std::string& prefix, const FieldChange& change) {
    lines.push_back(fmt::format("{}{}: {} > {}", prefix, change.field, change.before, change.after));
  };
  const DefinitionDiff result = diff(before, after);
  for (const FieldChange& change : result.pipeline) add("", change);
  for (const TaskChange& task : result.tasks) {
    if (task.kind == TaskChange::Kind::added) lines.push_back("+ " + task.task);
    if (task.kind == TaskChange::Kind::removed) lines.push_back("- " + task.task);
    for (const FieldChange& change : task.fields) add(task.task + " ", change);
  }
  EXPECT_THAT(
      lines,
      ElementsAre(R"(schedule.cron: "0 6 * * *" > "0 7 * * *")", R"(schedule.timezone:  > "Europe/Paris")",
                  R"(b retry.attempts: 2 > 3)", R"(b run.argv: ["x"] > )", R"(b run.shell:  > "x")", "+ new",
                  R"(a after: ["same"] > ["new","same"])", R"(a sql.text: "x" > "y")", "- gone"));
  EXPECT_TRUE(diff(before, before).empty());
}

/// For each key of the tables a value that cannot be right must be told: so each is read.
class EveryKey : public ::testing::Test {
 protected:
  static std::string wrong(const Key& key) {
    if (key.instead == Shape::values) return "{zz: 1}";
    switch (key.shape) {
      case Shape::object:
      case Shape::objects:
      case Shape::map: return "[[5]]";
      case Shape::scalar: return "[1]";
      default: return "{zz: 1}";
    }
  }

  /// `around` holds the text of the file up to the object, whose keys are indented by `depth`; `base` is what
  /// it needs besides, by the key that one of which must be there.
  static void expect_read(const Object& object, const std::string& file, const std::string& around,
                          std::size_t depth, const std::map<std::string, std::string>& base,
                          const std::string& behind = "") {
    for (const Key& key : object.keys) {
      std::string text = around;
      const std::string indent(depth, ' ');
      std::string beside(key.beside.substr(0, key.beside.find(' ')));
      const bool is_kind =
          std::find(object.one_of.begin(), object.one_of.end(), key.name) != object.one_of.end();
      if (beside.empty() && !is_kind && !object.one_of.empty()) beside = object.one_of.front();
      for (const auto& [name, value] : base) {
        const bool needed = name == beside || object.find(name)->required;
        if (needed && name != key.name) text += indent + name + ": " + value + "\n";
      }
      const auto line = static_cast<int>(std::count(text.begin(), text.end(), '\n')) + 1;
      text += indent + std::string(key.name) + ": " + wrong(key) + "\n" + behind;
      std::map<std::string, std::string> files{{"pipelines/p/pipeline.yml", "tasks: {t: {sql: x}}\n"}};
      files[file] = text;
      const ReadProject read = read_files(std::move(files));
      bool told_of_it = false;
      for (const auto& one : read.diagnostics.sorted()) {
        const std::string_view what = key.object == nullptr ? key.name : key.object->what;
        const bool names_it =
            one.message.find(key.name) != std::string::npos || one.message.find(what) != std::string::npos;
        told_of_it = told_of_it || (one.position.file == file && one.position.line == line && names_it);
      }
      EXPECT_TRUE(told_of_it) << text << ::testing::PrintToString(told(read.diagnostics));
    }
  }

  static const Object& inner(const Object& object, std::string_view key) { return *object.find(key)->object; }
};

TEST_F(EveryKey, OfTheTablesIsRead) {
  const std::string file = "pipelines/p/pipeline.yml";
  const Object& task = task_object();
  const std::map<std::string, std::string> kinds{
      {"sql", "x"}, {"run", "[x]"}, {"load", "{source: x, into: y}"}, {"wait", "{sql: x}"}};
  expect_read(project_object(), "weir.yml", "", 0, {});
  expect_read(inner(project_object(), "defaults"), "weir.yml", "defaults:\n", 2, {});
  expect_read(*project_object().find("pools")->each->object, "weir.yml", "pools:\n  x:\n", 4, {});
  expect_read(inner(project_object(), "alerts"), "weir.yml", "alerts:\n  -\n", 4,
              {{"when", "late"}, {"to", "http://x"}, {"run", "[x]"}});
  expect_read(pipeline_object(), file, "", 0, {});
  expect_read(inner(pipeline_object(), "schedule"), file, "schedule:\n", 2, {{"cron", "0 6 * * *"}});
  expect_read(inner(inner(pipeline_object(), "schedule"), "dst"), file,
              "schedule:\n  cron: 0 6 * * *\n  dst:\n", 4, {});
  expect_read(parameter_object(), file, "parameters:\n  x:\n", 4, {});
  expect_read(task, file, "tasks:\n  t:\n", 4, kinds);
  expect_read(inner(task, "sql"), file, "tasks:\n  t:\n    sql:\n", 6, {});
  expect_read(inner(task, "retry"), file, "tasks:\n  t:\n    sql: x\n    retry:\n", 6, {});
  expect_read(inner(task, "load"), file, "tasks:\n  t:\n    load:\n", 6, {{"source", "x"}, {"into", "y"}});
  expect_read(inner(task, "wait"), file, "tasks:\n  t:\n    wait:\n", 6, {{"sql", "x"}, {"give_up", "1h"}});
  expect_read(inner(task, "map"), file, "tasks:\n  t:\n    sql: x\n    map:\n", 6, {{"sql", "x"}});
  const std::string model = "pipelines/p/models/m.sql";
  const std::string query = "*/ select 1";
  expect_read(model_object(), model, "/* weir\n", 0, {}, query);
  const Object& check = inner(model_object(), "checks");
  expect_read(check, model, "/* weir\nchecks:\n  -\n", 4, {{"unique", "x"}}, query);
  expect_read(inner(check, "accepted_values"), model, "/* weir\nchecks:\n  - accepted_values:\n", 6,
              {{"column", "x"}, {"values", "[1]"}}, query);
  expect_read(inner(check, "relationships"), model, "/* weir\nchecks:\n  - relationships:\n", 6,
              {{"column", "x"}, {"to", "a.b"}}, query);
}

TEST(PipelineSchema, SaysWhatTheTablesSay) {
  const nlohmann::ordered_json schema = json_schema(pipeline_object(), "t");
  const auto& task = schema.at("properties").at("tasks").at("additionalProperties");
  EXPECT_EQ(task.at("additionalProperties"), false);
  EXPECT_EQ(task.at("oneOf").size(), 5U);
  EXPECT_EQ(task.at("properties").at("slots").at("minimum"), 1);
  EXPECT_EQ(task.at("properties").at("slots").at("description"),
            "how many of its pool it takes (default: 1)");
  EXPECT_EQ(task.at("dependencies").at("database").dump(),
            R"({"anyOf":[{"required":["run"]},{"required":["shell"]}]})");
  EXPECT_EQ(schema.at("properties").at("schedule").at("anyOf").at(1).at("oneOf").size(), 4U);
}

}  // namespace
}  // namespace weir::test
