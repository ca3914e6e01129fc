#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "group/sinks/payload_rows.h"
#include "support/errors.h"

namespace weir::group {
namespace {

using testing::ElementsAre;
using Row = PayloadRows::Row;

std::vector<Row> rows_of(std::string_view payload) {
  std::vector<Row> rows;
  PayloadRows(payload).each([&](const Row& row) { rows.push_back(row); });
  return rows;
}

TEST(PayloadRows, AreTheObjectsOfAnArrayOfRowsOrTheOneObject) {
  EXPECT_THAT(rows_of(R"([{"a": 1}, {"a": 2}])"), ElementsAre(Row{"1"}, Row{"2"}));
  EXPECT_THAT(rows_of(R"({"x": 0, "rows": [{"a": 1}, {"a": 2}]})"), ElementsAre(Row{"1"}, Row{"2"}));
  EXPECT_THAT(rows_of(R"({"a": 1})"), ElementsAre(Row{"1"}));
  EXPECT_THAT(rows_of(R"({"rows": 3, "z": 1})"), ElementsAre(Row{"3", "1"}));
  EXPECT_THAT(rows_of("[]"), ElementsAre());
  EXPECT_THAT(rows_of(R"({"rows": []})"), ElementsAre());
}

TEST(PayloadRows, HaveTheColumnsOfAllOfThemInTheOrderInWhichTheyComeUp) {
  const PayloadRows payload(R"([{"b": 1, "a": 2}, {"c": 3, "b": 4}, {}])");
  EXPECT_THAT(payload.columns(), ElementsAre("b", "a", "c"));
  EXPECT_THAT(rows_of(R"([{"b": 1, "a": 2}, {"c": 3, "b": 4}, {}])"),
              ElementsAre(Row{"1", "2", std::nullopt}, Row{"4", std::nullopt, "3"},
                          Row{std::nullopt, std::nullopt, std::nullopt}));
}

TEST(PayloadRows, HaveValuesAsPostgresReadsThem) {
  const std::string_view payload =
      R"({"n": 12345678901234567890.123456789012345678901, "e": -1e400 , "t": true, "z": null, "s": "a\"\n\u00e9",)"
      R"( "l": [1, {"x": "]"}], "o": {"y": "\\"}, "k\u00e9y": ""})";
  EXPECT_THAT(PayloadRows(payload).columns(), ElementsAre("n", "e", "t", "z", "s", "l", "o", "kéy"));
  EXPECT_THAT(rows_of(payload),
              ElementsAre(Row{"12345678901234567890.123456789012345678901", "-1e400", "true", std::nullopt,
                              "a\"\né", R"([1, {"x": "]"}])", R"({"y": "\\"})", ""}));
}

TEST(PayloadRows, SayWhatIsThereInsteadOfThem) {
  const auto refusal = [](std::string_view payload) {
    return std::string(test::error_of([&] { PayloadRows rows(payload); }).what());
  };
  EXPECT_EQ(refusal("3"), "the payload has no rows: it is a number or a truth");
  EXPECT_EQ(refusal("\"x\""), "the payload has no rows: it is a string");
  EXPECT_EQ(refusal("null"), "the payload has no rows: it is null");
  EXPECT_EQ(refusal("[[1]]"), "the payload has no rows: one of them is an array");
  EXPECT_EQ(refusal(R"({"rows": [{"a": 1}, 2]})"),
            "the payload has no rows: one of them is a number or a truth");
}

}  // namespace
}  // namespace weir::group
