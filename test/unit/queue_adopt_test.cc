// The parts of weir consume that decide without a server.
#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "base/manual_clock.h"
#include "queue/adopt_index.h"
#include "queue/adopt_retries.h"
#include "queue/adopt_sql.h"

namespace weir::queue {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

AdoptFacts facts() {
  AdoptFacts facts{.id = 7, .schema = "public", .name = "events", .user = "me"};
  const auto add = [&](const char* name, const char* type, bool not_null, int key = 0) {
    facts.columns.push_back(
        {.name = name, .type = type, .base_type = type, .not_null = not_null, .key_position = key});
  };
  add("id", "bigint", true, 2);
  add("Region", "text", true, 1);
  add("at", "timestamp with time zone", false);
  add("done", "boolean", true);
  add("maybe", "boolean", false);
  add("done_at", "timestamp with time zone", false);
  add("state", "text", false);
  return facts;
}

AdoptRequest request(std::string done) {
  return {.table = "events", .order_by = {"at"}, .done = std::move(done)};
}

std::string pending(const AdoptRequest& request) {
  const Adopted adopted = adopt(request, facts());
  return AdoptSql(adopted).pending_for_index();
}

TEST(AdoptDefinition, EachKindOfDoneColumnHasItsCondition) {
  EXPECT_EQ(pending(request("done")), "NOT \"done\"");
  EXPECT_EQ(pending(request("done_at")), "\"done_at\" IS NULL");
  AdoptRequest value = request("state");
  value.done_value = "it's";
  EXPECT_EQ(pending(value), "\"state\" IS DISTINCT FROM 'it''s'::text");
}

TEST(AdoptDefinition, NamesAreFoldedOnlyWhereNothingElseFits) {
  AdoptRequest folded = request("DONE");
  folded.columns = {"Region", "\"Region\"", "ID"};
  const Adopted adopted = adopt(folded, facts());
  EXPECT_EQ(adopted.done.name, "done");
  EXPECT_THAT(adopted.columns, ElementsAre("Region", "Region", "id"));
  folded.columns = {"\"ID\""};
  EXPECT_THROW(adopt(folded, facts()), Error);
}

TEST(AdoptDefinition, TheKeyHasTheOrderOfThePrimaryKey) {
  const Adopted adopted = adopt(request("done"), facts());
  ASSERT_EQ(adopted.key.size(), 2U);
  EXPECT_EQ(adopted.key[0].name, "Region");
  AdoptFacts without = facts();
  for (auto& column : without.columns) column.key_position = 0;
  EXPECT_THAT(adopt(request("done"), without).notes, ElementsAre(HasSubstr("no primary key")));
  EXPECT_THAT(adopt(request("maybe"), facts()).notes,
              ElementsAre(HasSubstr("null are neither done nor taken")));
}

TEST(AdoptSql, AMarkAndTheRowsHeldBackNarrowTheClaim) {
  AdoptRequest down = request("done");
  down.order_by = {"at DESC", "id"};
  const Adopted adopted = adopt(down, facts());
  const std::string sql = AdoptSql(adopted).claim({.marked = true, .excluding = true});
  EXPECT_THAT(sql, HasSubstr("weir_row.\"at\" <= CAST($2::text AS timestamp with time zone)"));
  EXPECT_THAT(sql, HasSubstr("<> ALL($3::text[])"));
  EXPECT_THAT(sql, HasSubstr("ORDER BY weir_row.\"at\" DESC, weir_row.\"id\" LIMIT $1"));
  EXPECT_THAT(AdoptSql(adopted).claim({.excluding = true}), HasSubstr("<> ALL($2::text[])"));
}

TEST(AdoptRetries, AFailedRowComesBackLaterAndLaterUntilItIsGivenUp) {
  ManualClock clock;
  AdoptRetries retries(
      {.max_attempts = 3, .backoff = {.base = 1s, .cap = 1min, .jitter = 0}, .clock = &clock});
  retries.failed("a", "one", {}, false);
  EXPECT_THAT(retries.held_back(), ElementsAre("a"));
  EXPECT_EQ(retries.next_due(), 1s);
  clock.advance(1s);
  EXPECT_THAT(retries.held_back(), IsEmpty());
  EXPECT_EQ(retries.past("a").error, "one");
  EXPECT_FALSE(retries.would_give_up("a"));
  retries.failed("a", "two", 10s, false);
  EXPECT_EQ(retries.next_due(), 10s);
  EXPECT_TRUE(retries.would_give_up("a"));
  retries.failed("a", "three", {}, false);
  retries.failed("b", "at once", {}, true);
  retries.later("c", 5s);
  clock.advance(1h);
  EXPECT_THAT(retries.held_back(), UnorderedElementsAre("a", "b"));
  EXPECT_THAT(retries.given_up(), UnorderedElementsAre("a", "b"));
  EXPECT_EQ(retries.waiting(), 1U);
  EXPECT_EQ(retries.past("c").attempts, 0);
  retries.forget("c");
  EXPECT_EQ(retries.next_due(), std::nullopt);
}

TEST(AdoptRetries, TooManyFailuresAreTheHandlersFault) {
  AdoptRetries retries({});
  for (std::size_t i = 0; i < AdoptRetries::kMost; ++i) retries.failed(std::to_string(i), "bad", {}, false);
  EXPECT_NO_THROW(retries.check_size());
  retries.failed("one more", "bad", {}, false);
  EXPECT_THROW(retries.check_size(), Error);
}

TEST(AdoptIndex, SubSelectsAndPartitionsAreTakenForWhatTheyAre) {
  const std::vector<AdoptIndex> indexes{{"todo", "at", true}, {"all_rows", "at", false}};
  const auto plan = [](const std::string& nodes) {
    return R"([{"Plan": {"Node Type": "LockRows", "Plans": [)" + nodes + "]}}]";
  };
  const std::string todo = R"({"Node Type": "Index Scan", "Relation Name": "p1", "Index Name": "todo"})";
  const std::string all = R"({"Node Type": "Index Scan", "Relation Name": "p2", "Index Name": "all_rows"})";
  const std::string scan = R"({"Node Type": "Seq Scan", "Relation Name": "p3"})";
  const std::string other =
      R"({"Node Type": "Seq Scan", "Relation Name": "x", "Parent Relationship": "SubPlan"})";
  const auto kind = [&](const std::string& nodes) { return judge_plan(plan(nodes), "done", indexes).kind; };
  EXPECT_EQ(kind(todo + "," + other), IndexVerdict::Kind::serves);
  EXPECT_EQ(kind(todo + "," + all), IndexVerdict::Kind::orders_only);
  EXPECT_EQ(kind(todo + "," + scan), IndexVerdict::Kind::none);
  EXPECT_EQ(kind(R"({"Node Type": "Sort", "Plans": [)" + todo + "]}"), IndexVerdict::Kind::none);
}

}  // namespace
}  // namespace weir::queue
