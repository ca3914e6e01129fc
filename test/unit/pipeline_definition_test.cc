// What a project that is right becomes.
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "pipeline/define/graph.h"
#include "pipeline/define/keys.h"
#include "pipeline/define/names.h"
#include "pipeline/define/placeholder.h"
#include "support/errors.h"
#include "support/project_text.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using namespace pipeline;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

const TaskDefinition& task(const PipelineDefinition& pipeline, const std::string& name) {
  for (const TaskDefinition& one : pipeline.tasks) {
    if (one.name == name) return one;
  }
  throw std::runtime_error("there is no task " + name);
}

constexpr const char* kWeir = R"(name: shop
connections: {warehouse: "${env:WAREHOUSE}"}
pools: {heavy: 2, wide: {}}
defaults: {timeout: 20m, retry: {attempts: 3, delay: 30s}}
alerts: [{when: failed, to: "${env:HOOK}"}]
history: 7d
)";

constexpr const char* kShop = R"(description: what was sold
schedule: {cron: "0 6 * * *", timezone: Europe/Paris, missed: all, dst: {gap: skip, overlap: both},
           start: 2026-01-01, end: "2026-07-01T12:00:00+00:00"}
parameters:
  country: {type: string, choices: [fr, de], default: fr}
  limit: 0x10
  day: {type: date}
  all: false
defaults: {pool: heavy}
max_active_runs: 2
deadline: 45m
alerts: [{when: [late, success], to: "https://example.org"}, {when: recovered, run: [./tell, "it's"]}]
tasks:
  # The last one first: the order of the file is not that of the tasks.
  publish:
    sql: {file: publish.sql}
    after: [score, orders]
    transaction: false
    allow_blocking: nobody reads at night
    trigger_rule: none_failed
    slots: 2
    priority: 7
    retry: 1
    when: select weir.param('all')
    allow_failure: true
    produces: [shop.published]
  orders:
    load:
      source: in/orders-${param:day}.csv
      into: Raw."Orders of"
      mode: upsert
      key: [id, line]
      max_rejects: 0.5%
      allow_empty: true
      lock_timeout: 3s
      header: false
    pool: default
    timeout: 1h
  score:
    run: [python3, score.py, "${item.id}", ""]
    env: {TOKEN: "${file:token}", EMPTY: ""}
    folder: scripts
    skip_exit_code: 99
    database: true
    map: {list: [{id: 1}, two, 3, no], max_parallel: 8}
    after: drop
  drop:
    wait: {file: "/drop/${logical_time}.csv", every: 1m, give_up: 4h, then: skip}
  note:
    shell: |
      echo "$HOME"
    map: {sql: select 1 as id}
  ready:
    wait: {sql: select true, connection: warehouse}
)";

ReadProject shop() {
  return read_files({{"weir.yml", kWeir},
                     {"pipelines/shop/pipeline.yml", kShop},
                     {"pipelines/shop/publish.sql", "call publish();\n"},
                     {"pipelines/shop/scripts/score.py", ""}});
}

TEST(PipelineDefinition, HoldsTheProject) {
  const ReadProject read = shop();
  ASSERT_THAT(told(read.diagnostics), IsEmpty());
  const ProjectDefinition& project = read.project;
  EXPECT_EQ(project.name, "shop");
  EXPECT_THAT(project.connections, ElementsAre(Pair("warehouse", "${env:WAREHOUSE}")));
  EXPECT_THAT(project.pools, ElementsAre(PoolDefinition{"default", {}}, PoolDefinition{"heavy", 2},
                                         PoolDefinition{"wide", {}}));
  EXPECT_EQ(project.keep_history, 24h * 7);
  ASSERT_EQ(project.pipelines.size(), 1U);
}

TEST(PipelineDefinition, HoldsTheHeadOfAPipeline) {
  const ReadProject read = shop();
  const PipelineDefinition& pipeline = read.project.pipelines.at(0);
  EXPECT_EQ(pipeline.name, "shop");
  EXPECT_EQ(pipeline.file, "pipelines/shop/pipeline.yml");
  EXPECT_EQ(pipeline.description, "what was sold");
  const ScheduleDefinition& schedule = pipeline.schedule;
  EXPECT_EQ(schedule.cron, "0 6 * * *");
  EXPECT_EQ(schedule.timezone, "Europe/Paris");
  EXPECT_EQ(schedule.missed, Missed::all);
  EXPECT_EQ(schedule.dst, (DstRule{DstRule::Gap::skip, DstRule::Overlap::both}));
  // Midnight in Paris is 23:00 of the day before.
  EXPECT_EQ(schedule.start, WallTime(std::chrono::sys_days(std::chrono::year(2025) / 12 / 31) + 23h));
  EXPECT_EQ(schedule.end, WallTime(std::chrono::sys_days(std::chrono::year(2026) / 7 / 1) + 12h));
  EXPECT_THAT(pipeline.parameters,
              ElementsAre(Parameter{"country", Parameter::Type::string, "fr", {"fr", "de"}},
                          Parameter{"limit", Parameter::Type::integer, "16", {}},
                          Parameter{"day", Parameter::Type::date, {}, {}},
                          Parameter{"all", Parameter::Type::boolean, "false", {}}));
  EXPECT_EQ(pipeline.max_active_runs, 2);
  EXPECT_EQ(pipeline.deadline, 45min);
  EXPECT_THAT(pipeline.alerts,
              ElementsAre(Alert{{"failed"}, "${env:HOOK}"}, Alert{{"late", "success"}, "https://example.org"},
                          Alert{{"recovered"}, "", {"./tell", "it's"}, "pipelines/shop"}));
}

TEST(PipelineDefinition, HoldsEachKindOfTask) {
  const ReadProject read = shop();
  const PipelineDefinition& pipeline = read.project.pipelines.at(0);
  const TaskDefinition& publish = task(pipeline, "publish");
  EXPECT_EQ(std::get<SqlBody>(publish.body),
            (SqlBody{"call publish();\n", "pipelines/shop/publish.sql", "", false, "nobody reads at night"}));
  EXPECT_EQ(publish.rule, TriggerRule::none_failed);
  EXPECT_EQ(publish.pool, "heavy");
  EXPECT_EQ(publish.slots, 2);
  EXPECT_EQ(publish.priority, 7);
  EXPECT_EQ(publish.retry, (Retry{1, 30s, true, 10min, true}));
  EXPECT_EQ(publish.timeout, 20min);
  EXPECT_EQ(publish.when, "select weir.param('all')");
  EXPECT_TRUE(publish.allow_failure);
  EXPECT_THAT(publish.produces, ElementsAre("shop.published"));
  EXPECT_EQ(publish.position, (Position{"pipelines/shop/pipeline.yml", 15, 3}));

  const TaskDefinition& orders = task(pipeline, "orders");
  const auto& load = std::get<LoadBody>(orders.body);
  EXPECT_EQ(load.source, "in/orders-${param:day}.csv");
  EXPECT_EQ(load.into, "raw.\"Orders of\"");
  EXPECT_EQ(load.folder, "pipelines/shop");
  EXPECT_THAT(load.options, UnorderedElementsAre(Pair("mode", "upsert"), Pair("key", "id,line"),
                                                 Pair("max-rejects", "0.5%"), Pair("allow-empty", "true"),
                                                 Pair("lock-timeout", "3s"), Pair("no-header", "true")));
  EXPECT_THAT(orders.produces, ElementsAre("raw.\"Orders of\""));
  EXPECT_EQ(orders.pool, "default");
  EXPECT_EQ(orders.timeout, 1h);
  EXPECT_EQ(orders.retry.attempts, 3);

  const TaskDefinition& score = task(pipeline, "score");
  const auto& run = std::get<RunBody>(score.body);
  EXPECT_THAT(run.argv, ElementsAre("python3", "score.py", "${item.id}", ""));
  EXPECT_THAT(run.env, UnorderedElementsAre(Pair("TOKEN", "${file:token}"), Pair("EMPTY", "")));
  EXPECT_EQ(run.folder, "pipelines/shop/scripts");
  EXPECT_EQ(run.skip_exit_code, 99);
  EXPECT_TRUE(run.database);
  EXPECT_EQ(score.map, (MapSource{"", {R"({"id":1})", R"("two")", "3", R"("no")"}, 8}));

  EXPECT_EQ(
      std::get<WaitBody>(task(pipeline, "drop").body),
      (WaitBody{WaitBody::Kind::file, "/drop/${logical_time}.csv", "pipelines/shop", "", 1min, 4h, true}));
  EXPECT_EQ(std::get<WaitBody>(task(pipeline, "ready").body),
            (WaitBody{WaitBody::Kind::sql, "select true", "", "warehouse", 30s, {}, false}));
  const TaskDefinition& note = task(pipeline, "note");
  EXPECT_EQ(std::get<RunBody>(note.body).shell, "echo \"$HOME\"\n");
  EXPECT_EQ(std::get<RunBody>(note.body).folder, "pipelines/shop");
  EXPECT_EQ(note.map->sql, "select 1 as id");
}

TEST(PipelineDefinition, TasksAreInAnOrderInWhichEveryEdgePointsForward) {
  const ReadProject read = shop();
  const PipelineDefinition& pipeline = read.project.pipelines.at(0);
  std::vector<std::string> names;
  for (const TaskDefinition& one : pipeline.tasks) names.push_back(one.name);
  EXPECT_THAT(names, ElementsAre("orders", "drop", "score", "publish", "note", "ready"));
  EXPECT_THAT(pipeline.tasks[3].upstream, ElementsAre(0, 2));
  EXPECT_THAT(pipeline.tasks[0].downstream, ElementsAre(3));
  EXPECT_THAT(pipeline.tasks[1].downstream, ElementsAre(2));
}

TEST(PipelineDefinition, PipelinesMeetByDatasetsAndWaits) {
  const ReadProject read = read_files(
      {{"pipelines/a/pipeline.yml", "tasks: {t: {load: {command: [x], into: silver}}}\n"},
       {"pipelines/b/pipeline.yml", "schedule: {datasets: silver}\ntasks: {t: {wait: {pipeline: a}}}\n"}});
  EXPECT_THAT(told(read.diagnostics), IsEmpty());
  EXPECT_THAT(read.project.pipelines.at(1).schedule.datasets, ElementsAre("silver"));
}

TEST(PipelineDefinition, ThereAreNamesInEveryScript) {
  const ReadProject read =
      read_files({{"weir.yml", "pools: {プール: 1}\n"},
                  {"pipelines/продажи/pipeline.yml",
                   "tasks:\n  日次: {sql: x, pool: プール}\n  naïve 🐎: {sql: x, after: 日次}\n"}});
  EXPECT_THAT(told(read.diagnostics), IsEmpty());
  EXPECT_EQ(read.project.pipelines.at(0).name, "продажи");
  EXPECT_EQ(read.project.pipelines.at(0).tasks.at(1).name, "naïve 🐎");
}

TEST(PipelineDefinition, LinksLeadNowhereElse) {
  namespace fs = std::filesystem;
  const fs::path base = fs::temp_directory_path() / fmt::format("weir-links-{}", ::getpid());
  fs::remove_all(base);
  const fs::path folder = base / "project";
  fs::create_directories(folder / "pipelines/p/models");
  const auto put = [](const fs::path& path, const std::string& text) { std::ofstream(path) << text; };
  put(base / "secret.sql", "select 'secret'");
  put(folder / "weir.yml", "");
  put(folder / "inside.sql", "select 1");
  put(folder / "pipelines/p/pipeline.yml",
      "tasks:\n  out: {sql: {file: out.sql}}\n  in: {sql: {file: in.sql}}\n  gone: {sql: {file: "
      "gone.sql}}\n");
  fs::create_symlink(base / "secret.sql", folder / "pipelines/p/out.sql");
  fs::create_symlink("../../inside.sql", folder / "pipelines/p/in.sql");
  fs::create_symlink("nowhere", folder / "pipelines/p/gone.sql");
  fs::create_symlink(base / "secret.sql", folder / "pipelines/p/models/m.sql");
  fs::create_symlink(base, folder / "pipelines/q");
  Diagnostics diagnostics;
  read_project(folder, diagnostics);
  EXPECT_THAT(told(diagnostics), ElementsAre("pipelines/p/models/m.sql:0:0 it leads out of the project",
                                             "2:21 'out.sql' leads out of the project",
                                             "4:22 there is no file 'pipelines/p/gone.sql'",
                                             "pipelines/q:0:0 it leads out of the project"));
  fs::remove_all(base);
}

TEST(PipelineDefinition, AFolderThatIsNotThereIsAnErrorOfUsage) {
  Diagnostics diagnostics;
  const Error error = error_of([&] { read_project("/nowhere", diagnostics); });
  EXPECT_EQ(error.exit_code(), ExitCode::usage);
  EXPECT_TRUE(has(error.what(), "cannot use project folder /nowhere: "));
}

TEST(PipelineNames, RelationsAreReadAsSqlReadsThem) {
  EXPECT_EQ(normal_relation("Raw.Orders"), "raw.orders");
  EXPECT_EQ(normal_relation("raw.\"Orders\"\"x\""), "raw.\"Orders\"\"x\"");
  EXPECT_EQ(normal_relation("user"), "\"user\"");
  EXPECT_EQ(normal_relation("\"plain\".t"), "plain.t");
  for (const std::string bad : {"", "a.", ".a", "a.b.c", "a b", "1a", "\"", "\"\"", "a;b", "a.*", "a--"}) {
    EXPECT_EQ(normal_relation(bad), std::nullopt) << bad;
  }
}

TEST(PipelinePlaceholders, AreSplitFromTheTextAroundThem) {
  using Kind = Placeholder::Kind;
  std::vector<std::pair<Kind, std::string>> seen;
  for (const Placeholder& one :
       split_placeholders("a${env:X}$${y}${item.k}${item}${run_id}${interval_end}${?}${open")) {
    seen.emplace_back(one.kind, one.name);
  }
  EXPECT_THAT(seen, ElementsAre(Pair(Kind::literal, "a"), Pair(Kind::env, "X"), Pair(Kind::literal, "${y}"),
                                Pair(Kind::item, "k"), Pair(Kind::item, ""), Pair(Kind::run_id, ""),
                                Pair(Kind::time, "interval_end"), Pair(Kind::unknown, "?"),
                                Pair(Kind::literal, "${open")));
  EXPECT_EQ(split_placeholders(std::string(2'000'000, '$') + "{").size(), 1U);
}

}  // namespace
}  // namespace weir::test
