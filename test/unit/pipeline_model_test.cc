// Models: names from paths, dependencies from ref(), checks as SQL.
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "pipeline/define/model_sql.h"
#include "support/project_text.h"

namespace weir::test {
namespace {

using namespace pipeline;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr const char* kPipeline = "tasks: {orders: {load: {command: [x], into: raw.orders}}}\n";

ReadProject read_models(std::map<std::string, std::string> models) {
  std::map<std::string, std::string> files{{"pipelines/p/pipeline.yml", kPipeline}};
  for (auto& [path, text] : models) files.emplace("pipelines/p/models/" + path, text);
  return read_files(std::move(files));
}

const ModelBody& model(const ReadProject& read, std::size_t number) {
  return std::get<ModelBody>(read.project.pipelines.at(0).tasks.at(number).body);
}

TEST(PipelineModel, ComesAfterWhatItRefersTo) {
  const ReadProject read = read_models({
      {"mart/daily.sql",
       "/* weir\nmaterialized: incremental\nstrategy: upsert\nkey: [day]\nslots: 1\n*/\n"
       "-- ref('not this')\nselect day, 'ref(''x'')' as text, sum(amount)\n"
       "from ref('raw.orders') o join {{ ref('lines') }} l using (id)\n"
       "where day > (select max(day) from this()) group by 1, 2; -- end\n"},
      {"mart/old/lines.sql", "SELECT * FROM ref('orders')"},
      {"top.sql", "with a as (select 1) select * from {{ref('mart.daily')}}, {{ this }}"},
  });
  ASSERT_THAT(told(read.diagnostics), IsEmpty());
  const auto& tasks = read.project.pipelines.at(0).tasks;
  std::vector<std::string> names;
  for (const TaskDefinition& one : tasks) names.push_back(one.name);
  EXPECT_THAT(names, ElementsAre("orders", "mart.lines", "mart.daily", "top"));
  EXPECT_THAT(tasks[2].upstream, ElementsAre(0, 1));
  EXPECT_THAT(tasks[3].upstream, ElementsAre(2));
  EXPECT_THAT(tasks[2].produces, ElementsAre("mart.daily"));
  EXPECT_EQ(model(read, 2).select,
            "select day, 'ref(''x'')' as text, sum(amount)\n"
            "from raw.orders o join mart.lines l using (id)\n"
            "where day > (select max(day) from mart.daily) group by 1, 2");
  EXPECT_EQ(model(read, 2).kind, ModelBody::Kind::incremental);
  EXPECT_EQ(model(read, 2).strategy, "upsert");
  EXPECT_THAT(model(read, 2).key, ElementsAre("day"));
  EXPECT_EQ(model(read, 1).strategy, "refresh");
  EXPECT_EQ(model(read, 3).relation, "public.top");
  EXPECT_EQ(model(read, 3).select, "with a as (select 1) select * from mart.daily, public.top");
}

TEST(PipelineModel, ItsNameIsThatOfItsFile) {
  const ReadProject read = read_models({{"Mart/Über Tag.sql", "select 1"},
                                        {"x/a.sql", "/* weir\nrelation: Other.Name\n*/ select 1"},
                                        {"x/README.md", "no model"}});
  ASSERT_THAT(told(read.diagnostics), IsEmpty());
  EXPECT_EQ(read.project.pipelines.at(0).tasks.at(1).name, "Mart.Über Tag");
  EXPECT_EQ(model(read, 1).relation, "\"Mart\".\"Über Tag\"");
  EXPECT_EQ(model(read, 2).relation, "other.name");
}

TEST(PipelineModel, ChecksAreQueries) {
  const ReadProject read = read_models({{"m/a.sql", "select 1"},
                                        {"m/t.sql",
                                         "/* weir\nchecks:\n"
                                         "  - unique: [day, Store]\n"
                                         "  - {not_null: day, blocking: false, name: there is a day}\n"
                                         "  - accepted_values: {column: state, values: [a, it's, 3]}\n"
                                         "  - relationships: {column: a_id, to: a, field: id}\n"
                                         "  - relationships: {column: x, to: app.users}\n"
                                         "  - sql: select count(*) > 0 from this() join ref('a') using (id)\n"
                                         "*/ select 2"}});
  ASSERT_THAT(told(read.diagnostics), IsEmpty());
  const auto& tasks = read.project.pipelines.at(0).tasks;
  EXPECT_THAT(tasks.at(2).upstream, ElementsAre(1)) << "a check's table comes before it";
  std::vector<std::string> lines;
  for (const Check& check : model(read, 2).checks) {
    lines.push_back(check.name + (check.blocking ? ": " : " (warns): ") + check.sql);
  }
  EXPECT_THAT(lines,
              ElementsAre("unique(day, Store): select not exists (select from m.t where (day, \"Store\") is "
                          "not null group by day, "
                          "\"Store\" having count(*) > 1)",
                          "there is a day (warns): select not exists (select from m.t where day is null)",
                          "accepted_values(state): select not exists (select from m.t where state not in "
                          "('a', 'it''s', '3'))",
                          "relationships(a_id): select not exists (select from m.t as c where c.a_id is not "
                          "null and not exists (select "
                          "from m.a as p where p.id = c.a_id))",
                          "relationships(x): select not exists (select from m.t as c where c.x is not null "
                          "and not exists (select from "
                          "app.users as p where p.x = c.x))",
                          "check 6: select count(*) > 0 from m.t join m.a using (id)"));
}

struct Bad {
  std::string text;
  std::vector<std::string> told;
};

TEST(PipelineModel, MistakesAreToldWhereTheyAre) {
  const std::vector<Bad> cases{
      {"", {"1:1 'pipelines/p/models/m/t.sql' is empty"}},
      {"/* weir\n", {"1:1 the comment '/* weir' never ends"}},
      {"/* weir */ -- nothing", {"1:11 there is no query in it"}},
      {"/* weir\nmaterialised: table\n*/ select 1", {"2:1 a model has no key 'materialised'"}},
      {"/* weir\n- a\n*/ select 1", {"2:1 a model must be a mapping, and is a list"}},
      {"/* weir\na: b: c\n*/ select 1", {"2:5 a ':' where no key can stand"}},
      {"/* weir\nmaterialized: incremental\n*/ select 1", {"2:15 an incremental model needs 'strategy'"}},
      {"/* weir\nstrategy: upsert\nkey: a\n*/ select 1", {"2:11 a table has no strategy 'upsert'"}},
      {"/* weir\nmaterialized: view\nstrategy: swap\nkey: a\n*/ select 1",
       {"3:11 a view has no strategy", "4:6 'key' has no meaning with a view"}},
      {"/* weir\nmaterialized: incremental\nstrategy: upsert\n*/ select 1",
       {"3:11 strategy upsert needs 'key': the columns that tell which row is which"}},
      {"/* weir\nmaterialized: incremental\nstrategy: window\n*/ select 1",
       {"3:11 strategy window needs 'window': the column that the interval bounds"}},
      {"/* weir\nrelation: t\n*/ select 1", {"2:11 'relation' is 't', which is no schema.table"}},
      {"/* weir\nafter: x\n*/ select 1", {"2:8 there is no task 'x'"}},
      {"/* weir\nchecks: [{unique: a, not_null: b}]\n*/ select 1",
       {"2:22 a check has one of 'unique', 'not_null', not several"}},
      {"/* weir\nchecks: [{blocking: true}]\n*/ select 1",
       {"2:10 a check needs unique, not_null, accepted_values, relationships or sql"}},
      {"/* weir\nchecks: [{relationships: {column: a, to: nix}}]\n*/ select 1",
       {"2:42 nothing in the pipeline makes 'nix'"}},
      {"/* weir\nchecks: [{sql: delete from x}]\n*/ select 1",
       {"2:16 a query begins with SELECT or WITH, and this with 'delete'"}},
      {"select *\nfrom ref('order')", {"2:6 nothing in the pipeline makes 'order'"}},
      {"select *\nfrom ref('m.t')", {"2:6 'm.t' refers to itself"}},
      {"select * from ref(\"a\")", {"1:15 ref() takes one name in single quotes"}},
      {"select * from ref('a', 'b')", {"1:15 ref() takes one name in single quotes"}},
      {"select * from this(1)", {"1:15 this() takes nothing"}},
      {"select {{ interval_start }}, {{ ref('orders') }",
       {"1:8 there are no templates but ref() and this()",
        "1:30 there are no templates but ref() and this()"}},
      {"select 1; select 2", {"1:9 there is more than one statement"}},
      {"insert into x select 1", {"1:1 a query begins with SELECT or WITH, and this with 'insert'"}},
      {"/* weir\n*/\nselect '${interval_start}'", {"3:9 '${interval_start}' is not replaced in SQL"}},
      {"select 'x", {"1:8 a string is not closed"}},
      {"select 1 /* never", {"1:10 a comment is not closed: */ is missing"}},
      {"select \xFF", {"1:1 'pipelines/p/models/m/t.sql' is no UTF-8, from its byte 7 on"}},
      {"select x.ref('a'), refs('b'), \"ref\"('c')", {}},
  };
  for (const Bad& one : cases) {
    std::vector<std::string> seen = told(read_models({{"m/t.sql", one.text}}).diagnostics);
    for (std::string& line : seen) {
      const std::string file = "pipelines/p/models/m/t.sql:";
      if (line.starts_with(file)) line.erase(0, file.size());
    }
    EXPECT_EQ(seen, one.told) << one.text;
  }
}

TEST(PipelineModel, ACycleOfReferencesIsOneOfTasks) {
  const ReadProject read = read_models({{"a.sql", "select * from ref('b')"},
                                        {"b.sql", "select * from ref('c')"},
                                        {"c.sql", "select * from ref('a')"}});
  EXPECT_THAT(told(read.diagnostics),
              ElementsAre("pipelines/p/models/a.sql:1:1 tasks wait for each other: a > c > b > a"));
}

TEST(PipelineModel, TwoOfOneNameAreRefused) {
  const ReadProject read =
      read_models({{"m/x/t.sql", "select 1"}, {"m/y/t.sql", "select 1"}, {"orders.sql", "select 1"}});
  EXPECT_THAT(told(read.diagnostics),
              ElementsAre("pipelines/p/models/m/y/t.sql:1:1 there are two tasks called 'm.t'",
                          "pipelines/p/models/orders.sql:1:1 there are two tasks called 'orders'"));
}

TEST(PipelineModel, AShortNameMustBeClear) {
  const ReadProject read =
      read_models({{"a/t.sql", "select 1"}, {"b/t.sql", "select 1"}, {"c/u.sql", "select * from ref('t')"}});
  EXPECT_THAT(told(read.diagnostics),
              ElementsAre("pipelines/p/models/c/u.sql:1:15 more than one table is called 't'"));
}

}  // namespace
}  // namespace weir::test
