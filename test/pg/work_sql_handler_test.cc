#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "pg/row.h"
#include "pg/transaction.h"
#include "support/database.h"
#include "work/sql_handler.h"

namespace weir::work {
namespace {

using namespace std::chrono_literals;

using ::testing::AnyOf;
using ::testing::HasSubstr;
using Kind = Outcome::Kind;

class SqlHandlerTest : public test::PgTest {
 protected:
  void SetUp() override {
    PgTest::SetUp();
    session_.emplace(session());
    session_->execute_script(
        "CREATE SCHEMA app; CREATE TABLE app.effect (id bigint PRIMARY KEY CHECK (id <> 13), n int)");
  }
  void TearDown() override {
    session_.reset();
    PgTest::TearDown();
  }

  static SqlOptions inserting(const std::string& more = "") {
    return {.sql = "INSERT INTO effect SELECT id, (payload->>'n')::int FROM weir_job ORDER BY id" + more,
            .search_path = "app, public"};
  }

  /// Runs one batch in a transaction that is committed.
  std::vector<Outcome> run(SqlHandler& handler, const std::vector<Item>& items, std::stop_token stop = {}) {
    pg::Transaction transaction(*session_);
    Batch batch(items, std::move(stop), &*session_);
    handler.run(batch);
    transaction.commit();
    return batch.outcomes();
  }

  std::int64_t number(const std::string& sql) { return session_->execute(sql)[0].get<std::int64_t>(0); }

  std::optional<pg::Session> session_;
};

std::vector<Item> items_from(std::int64_t first, std::int64_t last, std::string_view payload = R"({"n":1})") {
  std::vector<Item> items;
  for (std::int64_t id = first; id <= last; ++id) {
    items.push_back({.id = id, .source = "q", .kind = "k", .payload = payload});
  }
  return items;
}

TEST_F(SqlHandlerTest, ABatchIsATableAndAllIsDone) {
  SqlHandler handler(inserting("; UPDATE effect SET n = n + 1"));
  for (int batch = 0; batch < 3; ++batch) {
    for (const Outcome& outcome : run(handler, items_from(batch * 100 + 100, batch * 100 + 199))) {
      EXPECT_TRUE(outcome.is_done());
    }
  }
  EXPECT_EQ(number("SELECT count(*) FROM app.effect"), 300);
  EXPECT_EQ(number("SELECT sum(n) FROM app.effect"), 100 * (4 + 3 + 2));
  EXPECT_EQ(number("SELECT count(*) FROM pg_temp.weir_job"), 0);
}

TEST_F(SqlHandlerTest, ItsColumnsTellAllAboutAnItem) {
  SqlHandler handler({.sql = "CREATE TABLE app.seen AS TABLE \"odd \"\"name\"", .relation = "odd \"name"});
  const std::string large = "[" + std::string((2 << 20) - 2, ' ') + "]";
  run(handler, {{.id = -1,
                 .source = "q'; DROP TABLE app.effect; --",
                 .kind = "k",
                 .payload = "",
                 .attempt = 2,
                 .max_attempts = 3,
                 .error = "e",
                 .created_at = WallTime(),
                 .deadline = WallTime::max()},
                {.id = 2, .payload = large}});
  const pg::Result seen = session_->execute(
      "SELECT to_jsonb(s)::text FROM (SELECT id, queue, kind, payload, attempt, max_attempts, error, "
      "created_at AT TIME ZONE 'UTC' AS created, deadline FROM app.seen) s ORDER BY id");
  ASSERT_EQ(seen.rows(), 2);
  EXPECT_EQ(nlohmann::json::parse(seen[0].get<std::string>(0)),
            nlohmann::json::parse(
                R"({"id":-1,"queue":"q'; DROP TABLE app.effect; --","kind":"k","payload":null,"attempt":2,
              "max_attempts":3,"error":"e","created":"1970-01-01T00:00:00","deadline":"infinity"})"));
  EXPECT_EQ(nlohmann::json::parse(seen[1].get<std::string>(0)),
            nlohmann::json::parse(
                R"({"id":2,"queue":"","kind":"","payload":[],"attempt":1,"max_attempts":1,"error":null,
              "created":null,"deadline":null})"));
}

TEST_F(SqlHandlerTest, APoisonedItemFailsAlone) {
  SqlHandler handler(inserting());
  std::vector<Item> items = items_from(1, 1000);
  items[499].payload = R"({"n":"x"})";
  items[500].payload = std::string_view("\"\0\"", 3);
  items[501].payload = "\"\xff\"";
  items[998].payload = "not json";
  const auto outcomes = run(handler, items);
  std::vector<std::size_t> failed;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    if (outcomes[i].kind() == Kind::failed) failed.push_back(i);
  }
  EXPECT_EQ(failed, (std::vector<std::size_t>{12, 499, 500, 501, 998}));
  EXPECT_THAT(outcomes[12].text(), HasSubstr("effect_id_check"));
  EXPECT_THAT(outcomes[12].text(), HasSubstr("23514"));
  EXPECT_EQ(number("SELECT count(*) FROM app.effect"), 995);
}

TEST_F(SqlHandlerTest, WhenAllIsBadTheRestIsHandedBack) {
  SqlHandler handler({.sql = "SELECT 1/0"});
  const auto outcomes = run(handler, items_from(1, 100));
  const auto count = [&](Kind kind) {
    return std::count_if(outcomes.begin(), outcomes.end(),
                         [&](const Outcome& o) { return o.kind() == kind; });
  };
  EXPECT_EQ(count(Kind::failed), 32);
  EXPECT_EQ(count(Kind::returned), 68);
}

TEST_F(SqlHandlerTest, WhatNoItemIsToBlameForIsThrown) {
  for (const std::string sql : {"SELEC 1", "SELECT * FROM no_such_table", "SELECT 'never closed"}) {
    SqlHandler handler({.sql = sql});
    EXPECT_THROW(run(handler, items_from(1, 2)), pg::Error) << sql;
    EXPECT_FALSE(session_->in_transaction());
  }
  SqlHandler handler(inserting());
  EXPECT_TRUE(run(handler, items_from(1, 2))[0].is_done()) << "the relation went with the rollback";
}

TEST_F(SqlHandlerTest, WhatOneItemAsksForIsItsOwnFault) {
  session_->execute_script("ALTER TABLE app.effect ADD late text");
  SqlHandler handler(
      {.sql = "DO $$ DECLARE r record; BEGIN FOR r IN SELECT id, payload->>'t' t FROM weir_job LOOP "
              "IF r.id = 5 THEN RAISE 'as a statement_timeout' USING ERRCODE = 'query_canceled'; END IF; "
              "EXECUTE format('INSERT INTO %I (id) VALUES (%s)', r.t, r.id); END LOOP; END $$",
       .search_path = "app, public"});
  std::vector<Item> items = items_from(1, 11, R"({"t":"effect"})");
  items[2].payload = R"({"t":"missing"})";
  const auto outcomes = run(handler, items);
  for (std::size_t i = 0; i < outcomes.size(); ++i)
    EXPECT_EQ(outcomes[i].is_done(), i != 2 && i != 4) << i << ' ' << outcomes[i].text();
  EXPECT_THAT(outcomes[2].text(), HasSubstr("42P01"));
  EXPECT_THAT(outcomes[4].text(), HasSubstr("57014"));
  EXPECT_EQ(run(handler, {items[2]})[0].kind(), Kind::failed) << "alone, too";
  EXPECT_EQ(number("SELECT count(*) FROM app.effect"), 9);
  session_->execute("DROP TABLE app.effect");
  EXPECT_EQ(run(handler, {items[0]})[0].kind(), Kind::failed);
}

TEST_F(SqlHandlerTest, WhoOutlastsTheLimitFailsAlone) {
  std::vector<Outcome> outcomes(4);
  // On a busy machine the others take their time, too.
  const auto done = [&] {
    return std::count_if(outcomes.begin(), outcomes.end(), [](const Outcome& one) { return one.is_done(); });
  };
  for (auto timeout = 200ms; done() < 3 && timeout < 20s; timeout *= 4) {
    SqlHandler handler({.sql = "SELECT pg_sleep(60) FROM weir_job WHERE id = 2", .timeout = timeout});
    outcomes = run(handler, items_from(1, 4));
  }
  for (std::size_t i = 0; i < outcomes.size(); ++i)
    EXPECT_EQ(outcomes[i].is_done(), i != 1) << i << ' ' << outcomes[i].text();
  EXPECT_THAT(outcomes[1].text(), HasSubstr("57014"));
}

TEST_F(SqlHandlerTest, TheLimitIsOfTheUsersSqlAlone) {
  SqlHandler handler({.sql = "SELECT 1", .timeout = 200ms});
  pg::Transaction transaction(*session_);
  const std::vector<Item> items = items_from(1, 2);
  Batch batch(items, {}, &*session_);
  handler.run(batch);
  EXPECT_EQ(session_->execute("SELECT current_setting('statement_timeout')")[0].get<std::string>(0), "0");
}

TEST_F(SqlHandlerTest, WhatCannotWorkIsRefusedBeforeThereIsAnything) {
  for (const std::string sql : {"SELECT nosuch FROM weir_job", "COPY app.effect FROM STDIN", "COMMIT",
                                "DISCARD ALL", "INSERT INTO nowhere SELECT id FROM weir_job"}) {
    try {
      SqlHandler({.sql = sql}).check(*session_);
      ADD_FAILURE() << sql;
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), ExitCode::definition) << sql << error.what();
      EXPECT_THAT(error.what(), HasSubstr("the SQL does not work")) << sql;
    }
  }
  SqlHandler(inserting()).check(*session_);
  SqlHandler({.sql = "INSERT INTO app.effect SELECT max(id) FROM weir_job"}).check(*session_);
  EXPECT_EQ(number("SELECT count(*) FROM app.effect"), 0);
}

TEST_F(SqlHandlerTest, TheTransactionCannotBeEndedByTheSql) {
  for (const std::string end : {"COMMIT", "ROLLBACK", "COMMIT; BEGIN", "SAVEPOINT s",
                                "RELEASE SAVEPOINT weir_items", "COMMIT AND CHAIN", "END; $$; COMMIT; --"}) {
    SqlHandler handler(inserting("; " + end));
    try {
      run(handler, items_from(1, 2));
      ADD_FAILURE() << end;
    } catch (const pg::Error& error) {
      EXPECT_THAT(error.sqlstate(), AnyOf("0A000", "42601")) << end << ": " << error.what();
    }
    EXPECT_EQ(number("SELECT count(*) FROM app.effect"), 0) << end;
  }
}

TEST_F(SqlHandlerTest, TheSearchPathIsTheUsersForTheirSqlAlone) {
  session_->set("search_path", "pg_catalog");
  SqlHandler handler(inserting());
  pg::Transaction transaction(*session_);
  const auto items = items_from(12, 14);
  Batch batch(items, {}, &*session_);
  handler.run(batch);
  EXPECT_EQ(session_->execute("SHOW search_path")[0].get<std::string>(0), "pg_catalog");
  EXPECT_TRUE(batch.outcomes()[2].is_done());
  transaction.commit();
  EXPECT_EQ(session_->execute("SHOW search_path")[0].get<std::string>(0), "pg_catalog");
}

TEST_F(SqlHandlerTest, ATableIsMadeOncePerSession) {
  SqlHandler handler(inserting());
  run(handler, items_from(1, 1));
  const auto before = number("SELECT 'pg_temp.weir_job'::regclass::oid::bigint");
  run(handler, items_from(2, 2));
  EXPECT_EQ(number("SELECT 'pg_temp.weir_job'::regclass::oid::bigint"), before);
  session_->execute("DISCARD ALL");
  EXPECT_TRUE(run(handler, items_from(3, 3))[0].is_done());
}

TEST_F(SqlHandlerTest, AStopBetweenTriesLeavesTheRestOpen) {
  SqlHandler handler(inserting());
  std::stop_source source;
  source.request_stop();
  EXPECT_TRUE(run(handler, items_from(1, 1), source.get_token())[0].is_open());
}

TEST_F(SqlHandlerTest, WithoutASessionItRefuses) {
  SqlHandler handler(inserting());
  const auto items = items_from(1, 1);
  Batch batch(items, {});
  EXPECT_THROW(handler.run(batch), Error);
  EXPECT_THROW(SqlHandler({.sql = std::string("a\0b", 3)}), pg::Error);
}

}  // namespace
}  // namespace weir::work
