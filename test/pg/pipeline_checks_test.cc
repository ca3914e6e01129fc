// The checks of models on a server: true where all is well, false where not, and valid SQL for any names.
#include <string>

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "support/database.h"
#include "support/load_test.h"
#include "support/project_text.h"

namespace weir::test {
namespace {

using PipelineChecks = LoadTest;

constexpr const char* kModel = R"(/* weir
checks:
  - unique: [day, Store]
  - not_null: [day, select]
  - accepted_values: {column: state, values: [new, it's]}
  - accepted_values: {column: amount, values: [1, 2.5]}
  - relationships: {column: Store, to: public.stores, field: Ü id}
  - sql: select count(*) > 0 from this()
*/
select 1
)";

TEST_F(PipelineChecks, AnswerTrueWhereAllIsWellAndFalseWhereNot) {
  const ReadProject read =
      read_files({{"pipelines/p/pipeline.yml", ""}, {"pipelines/p/models/Gold/day of.sql", kModel}});
  ASSERT_EQ(told(read.diagnostics), std::vector<std::string>{});
  const auto& model = std::get<pipeline::ModelBody>(read.project.pipelines.at(0).tasks.at(0).body);
  run("CREATE SCHEMA \"Gold\"; CREATE TABLE \"Gold\".\"day of\" (day date, \"Store\" int, \"select\" text, "
      "state text, "
      "amount numeric); CREATE TABLE stores (\"Ü id\" int)");
  const auto answers = [&] {
    std::string all;
    for (const pipeline::Check& check : model.checks) all += rows(check.sql);
    return all;
  };
  EXPECT_EQ(answers(), "tttttf") << "an empty table breaks no rule but its own";
  run("INSERT INTO stores VALUES (1); INSERT INTO \"Gold\".\"day of\" VALUES ('2026-01-01', 1, 'x', 'it''s', "
      "2.50),"
      " ('2026-01-02', null, 'x', null, null), ('2026-01-02', null, 'x', null, 1)");
  EXPECT_EQ(answers(), "tttttt") << "rows with a null in the key are no duplicates";
  run("INSERT INTO \"Gold\".\"day of\" VALUES ('2026-01-01', 1, null, 'old', 3), ('2026-01-03', 7, 'x', "
      "'new', 1)");
  EXPECT_EQ(answers(), "ffffft");
}

}  // namespace
}  // namespace weir::test
