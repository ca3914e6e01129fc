// weir stream adopt, as a user has it: the plan, the question, the stream, and back.
#include <fstream>

#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "support/database.h"
#include "weir_program.h"

namespace weir::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Words = std::vector<std::string>;
using nlohmann::json;

class CliStreamAdopt : public SchemaTest {
 protected:
  void SetUp() override {
    SchemaTest::SetUp();
    session().execute_script(
        "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, placed_at timestamptz NOT "
        "NULL "
        "DEFAULT now(), customer text, amount int);"
        "INSERT INTO orders (customer, amount) SELECT 'c' || n % 7, n FROM generate_series(1, 2500) n;"
        "CREATE TABLE effect (id bigint PRIMARY KEY)");
  }
  [[nodiscard]] WeirSetup setup() const {
    return {.env = {{"DATABASE_URL", url()}, {"WEIR", weir_binary()}}, .folder = folder_.path()};
  }
  WeirResult run(Words words) const {
    words.insert(words.begin(), "stream");
    return run_weir(words, setup());
  }
  std::int64_t number(const std::string& sql) const {
    return session().execute("SELECT (" + sql + ")::int8")[0].get<std::int64_t>(0);
  }
  [[nodiscard]] bool is_untouched() const {
    return number(
               "SELECT count(*) FROM pg_attribute WHERE attrelid = 'orders'::regclass AND attname = "
               "'weir_xid'") == 0 &&
           number("SELECT count(*) FROM weir.stream") == 0;
  }

  ScratchFolder folder_{"adopt"};
};

TEST_F(CliStreamAdopt, ThePlanComesFirst) {
  session().execute("ANALYZE orders");
  const WeirResult plan = run({"adopt", "orders", "--key", "customer", "--dry-run"});
  EXPECT_EQ(plan.status, 0) << plan.err;
  EXPECT_THAT(
      plan.out,
      HasSubstr("public.orders as a stream: id id, at placed_at, key customer, payload the whole row"));
  EXPECT_THAT(plan.out, HasSubstr("column and check  ACCESS EXCLUSIVE        public.orders  a moment"));
  EXPECT_THAT(
      plan.out,
      HasSubstr("index             SHARE UPDATE EXCLUSIVE  public.orders  reads all rows; nobody waits"));
  EXPECT_THAT(plan.out, HasSubstr("cuts about 2,500 rows into chunks; nobody waits"));
  EXPECT_THAT(plan.out, HasSubstr("from then on: UPDATE of \"public\".\"orders\" is refused"));
  EXPECT_THAT(plan.out, HasSubstr("from then on: COPY \"public\".\"orders\" without names of columns fails"));
  EXPECT_TRUE(is_untouched());
  const WeirResult refused = run({"adopt", "orders"});
  EXPECT_EQ(refused.status, 5);
  EXPECT_THAT(refused.out, HasSubstr("SHARE UPDATE EXCLUSIVE"));
  EXPECT_THAT(refused.err, AllOf(HasSubstr("nothing was changed"), HasSubstr("--yes does it.")));
  EXPECT_TRUE(is_untouched());
  const WeirResult document = run({"adopt", "orders", "--dry-run", "--json"});
  const json steps = json::parse(document.out).at("steps");
  ASSERT_EQ(steps.size(), 3U);
  EXPECT_EQ(steps[0].at("lock"), "ACCESS EXCLUSIVE");
  EXPECT_THAT(steps[0].at("sql")[0], HasSubstr("ADD COLUMN \"weir_xid\" pg_catalog.xid8 NOT NULL DEFAULT"));
  EXPECT_EQ(steps[1].at("sql")[0],
            "CREATE INDEX CONCURRENTLY \"orders_weir_xid\" ON \"public\".\"orders\" (\"weir_xid\", \"id\")");
  EXPECT_EQ(json::parse(document.out).at("adopted"), false);
}

TEST_F(CliStreamAdopt, AtATerminalItAsks) {
  WeirSetup at_terminal = setup();
  at_terminal.terminal = true;
  at_terminal.keyboard = true;
  {
    WeirProgram asked({"stream", "adopt", "orders"}, at_terminal);
    asked.wait_for("do that? y and Enter");
    asked.type("n\n");
    EXPECT_EQ(asked.wait_end(), 5);
    EXPECT_TRUE(is_untouched());
  }
  WeirProgram asked({"stream", "adopt", "orders"}, at_terminal);
  asked.wait_for("do that? y and Enter");
  asked.type("y\n");
  EXPECT_EQ(asked.wait_end(), 0) << asked.out() << asked.err();
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream"), 1);
}

TEST_F(CliStreamAdopt, OldAndNewRowsAreConsumedAndTheTableComesBack) {
  const WeirResult adopted = run({"adopt", "orders", "--chunk", "100", "--yes"});
  EXPECT_EQ(adopted.status, 0) << adopted.err;
  EXPECT_THAT(adopted.out,
              HasSubstr("public.orders is a stream now, with 2,500 events: weir stream consume orders"));
  session().execute("INSERT INTO orders (customer, amount) VALUES ('new', 1)");
  const std::string sql = "INSERT INTO effect SELECT id FROM weir_chunk";
  const WeirResult consumed =
      run({"consume", "orders", "--group", "g", "--from", "beginning", "--once", "--sql", sql});
  EXPECT_EQ(consumed.status, 0) << consumed.err;
  EXPECT_EQ(number("SELECT count(*) FROM effect"), 2501);
  const WeirResult command = run(
      {"consume", "orders", "--group", "h", "--from", "beginning", "-w", "1", "--once", "--", "sh", "-c",
       R"(while read -r line; do case $line in '{"end":'*) echo '{"ack":"all"}';; *) echo "$line" >>seen;; esac; done)"});
  EXPECT_EQ(command.status, 0) << command.err;
  std::ifstream seen(folder_.path() / "seen");
  int lines = 0;
  for (std::string line; std::getline(seen, line); ++lines) {
    EXPECT_THAT(line,
                AllOf(HasSubstr(R"("customer": ")"), HasSubstr(R"("amount": )"), Not(HasSubstr("weir_xid"))));
  }
  EXPECT_EQ(lines, 2501);
  EXPECT_THAT(run({"show", "orders"}).out, HasSubstr("public.orders (weir_xid, id, placed_at)"));
  const WeirResult kept = run({"set", "orders", "--retain", "30d"});
  EXPECT_EQ(kept.status, 5);
  EXPECT_THAT(kept.err, HasSubstr("the stream orders was adopted: Weir neither makes nor drops partitions"));
  const WeirResult again = run({"adopt", "orders", "--yes"});
  EXPECT_EQ(again.status, 5);
  EXPECT_THAT(again.err, HasSubstr("public.orders is the stream orders already"));

  const WeirResult drop = run({"drop", "orders"});
  EXPECT_EQ(drop.status, 5);
  EXPECT_THAT(drop.err,
              AllOf(HasSubstr("the table public.orders stays"), HasSubstr("--keep-table --yes does it")));
  EXPECT_EQ(run({"drop", "orders", "--yes"}).status, 5);
  EXPECT_EQ(run({"drop", "orders", "--keep-table", "--yes"}).status, 0);
  EXPECT_TRUE(is_untouched());
  EXPECT_EQ(number("SELECT count(*) FROM orders"), 2501);
}

TEST_F(CliStreamAdopt, WhatIsWrongIsSaidBeforeAnythingIsDone) {
  session().execute_script("CREATE VIEW a_view AS SELECT * FROM orders; CREATE TABLE bare (note text)");
  struct Mistake {
    Words words;
    int status;
    std::string message;
  };
  const std::vector<Mistake> mistakes{
      {{"adopt"}, 2, "which stream?"},
      {{"adopt", "orders", "--chunk", "0"}, 2, "--chunk"},
      {{"adopt", "order"}, 3, "Did you mean orders?"},
      {{"adopt", "a_view", "--yes"}, 3, "public.a_view is a view"},
      {{"adopt", "bare", "--yes"}, 3, "has no column that tells rows apart"},
      {{"adopt", "orders", "--at", "amount", "--yes"}, 3, "the time of an event is a timestamptz"},
  };
  for (const Mistake& mistake : mistakes) {
    const WeirResult result = run(mistake.words);
    EXPECT_EQ(result.status, mistake.status) << mistake.message << '\n' << result.err;
    EXPECT_THAT(result.err, HasSubstr(mistake.message));
    EXPECT_EQ(result.out, "");
  }
  EXPECT_TRUE(is_untouched());
}

}  // namespace
}  // namespace weir::test
