// The demo of readers tells the truth, and leaves nothing.

#include <gtest/gtest.h>

#include "load/demo/scenery.h"
#include "load/demo_readers.h"
#include "support/database.h"
#include "support/errors.h"

namespace weir::load {
namespace {

class LoadDemoTest : public test::SchemaTest {
 protected:
  [[nodiscard]] std::shared_ptr<const pg::Connector> users() const {
    return std::make_shared<const pg::Connector>(users_connector());
  }
  /// Long enough for three replacements of each kind and two reports.
  static ReadersDemoOptions brief() {
    return {.rows = 10'000,
            .dashboards = 6,
            .each = std::chrono::seconds(1),
            .slow = std::chrono::milliseconds(500),
            .pause = std::chrono::milliseconds(100)};
  }
  std::int64_t count(const std::string& from) {
    return session().execute("SELECT count(*) FROM " + from)[0].get<std::int64_t>(0);
  }
  void expect_nothing_is_left() {
    EXPECT_EQ(count("pg_namespace WHERE nspname = 'weir_demo'"), 0);
    EXPECT_EQ(count("pg_class WHERE relnamespace = 'weir_stage'::regnamespace"), 0);
    for (const char* table : {"weir.load_run", "weir.load_state", "weir.load_chunk"})
      EXPECT_EQ(count(table), 0) << table;
  }
};

TEST_F(LoadDemoTest, ReadersWaitForTruncateOrSeeNothingAndNeverMeetWeir) {
  const auto ways = run_readers_demo(users(), brief());
  ASSERT_EQ(ways.size(), 3U);
  for (const ReadersDemoWay& way : ways) {
    EXPECT_GT(way.reads.reads, 0) << way.name;
    EXPECT_GE(way.replacements, 1) << way.name;
    EXPECT_FALSE(way.reads.timeline.empty()) << way.name;
    EXPECT_EQ(way.reads.mixed, 0) << way.name;
  }
  // TRUNCATE waits for the report, and everybody else for TRUNCATE. Some of them then find an empty table.
  EXPECT_GT(ways[0].reads.waited, 0);
  EXPECT_GT(ways[0].reads.empty, 0);
  EXPECT_EQ(ways[0].strongest_lock, "ACCESS EXCLUSIVE");
  for (const std::size_t way : {1U, 2U}) {
    EXPECT_EQ(ways[way].reads.waited, 0) << ways[way].name;
    EXPECT_EQ(ways[way].reads.empty, 0) << ways[way].name;
    EXPECT_EQ(ways[way].strongest_lock, "ROW EXCLUSIVE") << ways[way].name;
  }
  EXPECT_EQ(ways[1].rows_written, 20'000);
  EXPECT_EQ(ways[2].rows_written, 100) << "one row of a hundred is of a new generation";
  EXPECT_LT(ways[2].wal_bytes, ways[1].wal_bytes);
  expect_nothing_is_left();
}

TEST_F(LoadDemoTest, AStopLeavesNothing) {
  std::stop_source stop;
  ReadersDemoOptions options = brief();
  options.stop = stop.get_token();
  options.on_frame = [&](std::span<const ReadersDemoWay> ways) {
    if (ways.back().replacements > 0) stop.request_stop();
  };
  EXPECT_EQ(test::error_of([&] { run_readers_demo(users(), options); }).exit_code(), ExitCode::interrupted);
  expect_nothing_is_left();
}

TEST_F(LoadDemoTest, ASchemaOfSomebodyElsesStaysAsItIs) {
  session().execute_script("CREATE SCHEMA weir_demo; CREATE TABLE weir_demo.rates (mine int)");
  const Error error = test::error_of([&] { run_readers_demo(users(), brief()); });
  EXPECT_EQ(error.exit_code(), ExitCode::refused);
  EXPECT_TRUE(test::has(error.what(), "no demo of Weir's made")) << error.what();
  EXPECT_EQ(count("weir_demo.rates"), 0);
}

TEST_F(LoadDemoTest, TheNextDemoDropsWhatAKilledOneLeft) {
  {
    const demo::Scenery other(users(), 2000, {});
    EXPECT_EQ(test::error_of([&] { run_readers_demo(users(), brief()); }).exit_code(), ExitCode::refused)
        << "one at a time";
    EXPECT_EQ(count("pg_namespace WHERE nspname = 'weir_demo'"), 1) << "and it is not disturbed";
  }
  session().execute_script(
      "CREATE SCHEMA weir_demo; COMMENT ON SCHEMA weir_demo IS 'weir demo readers; dropped when it ends'; "
      "CREATE TABLE weir_demo.rates (left_over int)");
  {
    demo::Scenery next(users(), 2000, {});
    next.fill();
  }
  expect_nothing_is_left();
}

TEST_F(LoadDemoTest, TheClientsGenerationsAreThoseOfTheServer) {
  demo::Scenery scenery(users(), 2000, {});
  scenery.fill();
  pg::Session session = this->session();
  for (const std::int64_t generation : {0, 1, 99, 100, 101, 250}) {
    session.execute("TRUNCATE weir_demo.rates");
    session.execute(demo::kInsertGeneration, scenery.rows(), generation);
    const pg::Result rows = session.execute(
        "SELECT id::text, pair, rate::text, note, mark::text FROM weir_demo.rates r ORDER BY r.id");
    demo::GenerationReader reader(scenery.rows(), generation);
    for (const auto& row : rows) {
      const auto record = reader.next();
      ASSERT_TRUE(record);
      for (int column = 0; column < 5; ++column) {
        ASSERT_EQ(record->cells[static_cast<std::size_t>(column)].text, row.get<std::string>(column));
      }
    }
    EXPECT_FALSE(reader.next());
  }
}

}  // namespace
}  // namespace weir::load
