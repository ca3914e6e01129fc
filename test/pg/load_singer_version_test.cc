// Versions of a stream, deletes, and schemas that change while it runs.
#include <gtest/gtest.h>

#include "load_singer_fixture.h"

namespace weir::load {
namespace {

using test::has;

class LoadSingerVersionTest : public SingerTest {
 protected:
  /// Version 1 with items 1 to `last`, activated.
  void first_version(int last, const SingerLoadOptions& options) {
    std::string lines = items_schema();
    for (int id = 1; id <= last; ++id) lines += item(id, "a", 1);
    tap(lines + tap_activate("items", 1) + tap_state(R"({"version":1})"), options);
    take_told();
  }
  static std::string versioned(int first, int last, int version) {
    std::string lines = items_schema();
    for (int id = first; id <= last; ++id) lines += item(id, id == last ? "b" : "a", version);
    return lines;
  }
  static SingerLoadOptions soft(const std::string& table) {
    SingerLoadOptions options = into(table);
    options.soft_delete = true;
    return options;
  }
};

TEST_F(LoadSingerVersionTest, ANewVersionTakesThePlaceOfTheOldOneAtOnce) {
  first_version(10, into("items"));
  tap({versioned(2, 11, 2) + tap_state(R"({"at":"half"})"),
       [this] {
         EXPECT_EQ(value("SELECT count(*) FROM items WHERE id IN (1, 11)"), "1") << "nothing is seen before";
         EXPECT_EQ(told_, Texts{});
       },
       tap_activate("items", 2) + tap_state(R"({"version":2})")},
      at_states("items"));
  EXPECT_EQ(take_told(),
            (Texts{"items: refresh +1 ~0 -1", R"(state {"at":"half"})", R"(state {"version":2})"}));
  EXPECT_EQ(value("SELECT min(id) || ' ' || max(id) || ' ' || count(*) FROM items"), "2 11 10");
  // The next run knows which version is there: rows of it are not held.
  tap(items_schema() + item(12, "c", 2) + tap_activate("items", 2), into("items"));
  EXPECT_EQ(take_told(), (Texts{"items: upsert +1 ~0 -0"}));
  EXPECT_EQ(kept(), R"({"version":2})");
}

TEST_F(LoadSingerVersionTest, AVersionThatWouldDeleteMuchIsRefused) {
  first_version(10, into("items"));
  const Error refused =
      failure(versioned(6, 11, 2) + tap_activate("items", 2) + tap_state(R"({"version":2})"), into("items"));
  EXPECT_EQ(refused.exit_code(), ExitCode::refused);
  EXPECT_TRUE(has(refused.what(), "delete 5 of 10")) << refused.what();
  EXPECT_EQ(take_told(), Texts{});
  EXPECT_EQ(value("SELECT count(*) FROM items"), "10");
  SingerLoadOptions allowed = into("items");
  allowed.each.spec.guard.allow_mass_delete = true;
  tap(versioned(6, 11, 2) + tap_activate("items", 2), allowed);
  EXPECT_EQ(take_told(), (Texts{"items: refresh +1 ~0 -5"}));
  const Error empty = failure(items_schema() + tap_activate("items", 3), allowed);
  EXPECT_TRUE(has(empty.what(), "no rows")) << empty.what();
  EXPECT_EQ(value("SELECT count(*) FROM items"), "6");
}

TEST_F(LoadSingerVersionTest, ASoftDeleteMarksARowOnceAndTheMarkGoesWhenItReturns) {
  first_version(10, soft("items"));
  tap(versioned(2, 11, 2) + tap_activate("items", 2), soft("items"));
  EXPECT_EQ(take_told(), (Texts{"items: refresh +1 ~0 -1"}));
  EXPECT_EQ(value("SELECT string_agg(id::text, ',') FROM items WHERE _sdc_deleted_at IS NOT NULL"), "1");
  const std::string marked = value("SELECT _sdc_deleted_at FROM items WHERE id = 1");
  tap(versioned(3, 11, 3) + tap_activate("items", 3), soft("items"));
  EXPECT_EQ(take_told(), (Texts{"items: refresh +0 ~0 -1"}));
  EXPECT_EQ(value("SELECT _sdc_deleted_at FROM items WHERE id = 1"), marked);
  EXPECT_EQ(
      value("SELECT string_agg(id::text, ',' ORDER BY id) FROM items WHERE _sdc_deleted_at IS NOT NULL"),
      "1,2");
  // With the next version, and alone.
  tap(versioned(2, 11, 4) + tap_activate("items", 4), soft("items"));
  EXPECT_EQ(take_told(), (Texts{"items: refresh +0 ~1 -0"}));
  EXPECT_EQ(value("SELECT string_agg(id::text, ',') FROM items WHERE _sdc_deleted_at IS NOT NULL"), "1");
  tap(items_schema() + item(1, "back", 4), into("items"));
  EXPECT_EQ(value("SELECT count(*) FROM items WHERE _sdc_deleted_at IS NOT NULL"), "0");
  EXPECT_EQ(value("SELECT name FROM items WHERE id = 1"), "back");
}

TEST_F(LoadSingerVersionTest, ASoftDeleteOfRowsWithoutAKey) {
  const auto rows = [](std::initializer_list<int> ids, int version) {
    std::string lines = items_schema("", "");
    for (const int id : ids) lines += item(id, "a", version);
    return lines + tap_activate("items", version);
  };
  tap(rows({1, 1, 2, 3, 4, 5}, 1), soft("items"));
  tap(rows({1, 2, 3, 4, 5}, 2), soft("items"));
  EXPECT_EQ(value("SELECT string_agg(id::text, ',' ORDER BY id) FROM items WHERE _sdc_deleted_at IS NULL"),
            "1,2,3,4,5");
  EXPECT_EQ(value("SELECT string_agg(id::text, ',') FROM items WHERE _sdc_deleted_at IS NOT NULL"), "1");
  tap(rows({1, 1, 2, 3, 4, 5}, 3), soft("items"));
  EXPECT_EQ(value("SELECT string_agg(id::text, ',' ORDER BY id) FROM items WHERE _sdc_deleted_at IS NULL"),
            "1,1,2,3,4,5");
}

TEST_F(LoadSingerVersionTest, ARecordThatSaysItIsDeletedIsMarkedUntilItComesAgain) {
  const std::string schema =
      items_schema(R"(,"_sdc_deleted_at":{"type":["null","string"],"format":"date-time"})");
  tap(schema + item(1, "a") + item(2, "b") +
          tap_record("items", R"("id":1,"name":"a","_sdc_deleted_at":"2026-01-02T03:04:05Z")"),
      into("items"));
  EXPECT_EQ(
      value(
          "SELECT string_agg(id || ' ' || (_sdc_deleted_at AT TIME ZONE 'UTC')::text, ',') FROM items WHERE "
          "_sdc_deleted_at IS NOT NULL"),
      "1 2026-01-02 03:04:05");
  tap(schema + item(1, "again"), into("items"));
  EXPECT_EQ(value("SELECT count(_sdc_deleted_at) || ' ' || min(name) FROM items"), "0 again");
}

TEST_F(LoadSingerVersionTest, RowsOfBothShapesBecomeOneVersion) {
  first_version(4, into("items"));
  const std::string before = items_schema(R"(,"size":{"type":"string"},"old":{"type":"boolean"})");
  const std::string after = tap_schema(
      "items",
      R"("extra":{"type":"string"},"id":{"type":"integer"},"size":{"type":"integer"},"name":{"type":"string"})");
  tap(before + tap_record("items", R"("id":1,"name":"a","size":"big","old":true)", 2) + item(2, "a", 2) +
          after + tap_record("items", R"("id":3,"extra":"x","name":"7","size":12)", 2) + item(4, "d", 2) +
          tap_activate("items", 2) + tap_state(R"({"version":2})"),
      into("items"));
  EXPECT_EQ(take_told(), (Texts{"items: refresh +0 ~3 -0", R"(state {"version":2})"}));
  EXPECT_EQ(all("id, name, size, old, extra", "items"), "1 a big t, 2 a, 3 7 12 x, 4 d");
}

TEST_F(LoadSingerVersionTest, ASchemaThatChangesAddsColumnsAndWidensTypes) {
  tap(items_schema() + item(1, "a") +
          tap_schema("items",
                     R"("id":{"type":"integer"},"name":{"type":"string"},"size":{"type":"integer"})") +
          tap_record("items", R"("id":2,"name":"b","size":3)") +
          tap_schema("items", R"("id":{"type":"integer"},"size":{"type":["integer","string"]})") +
          tap_record("items", R"("id":3,"size":4)") + tap_state(R"({"at":3})"),
      into("items"));
  EXPECT_EQ(take_told(), (Texts{"items: upsert +1 ~0 -0", "items: upsert +1 ~0 -0", "items: upsert +1 ~0 -0",
                                R"(state {"at":3})"}));
  EXPECT_EQ(all("id, coalesce(name, '-'), coalesce(size::text, '-')", "items"), "1 a -, 2 b 3, 3 - 4");
  EXPECT_EQ(value("SELECT pg_typeof(size) FROM items LIMIT 1"), "bigint") << "no value needs more yet";
  tap(tap_schema("items", R"("id":{"type":"integer"},"size":{"type":["integer","string"]})") +
          tap_record("items", R"("id":4,"size":"big")"),
      into("items"));
  EXPECT_EQ(value("SELECT pg_typeof(size) FROM items LIMIT 1"), "text");
  EXPECT_EQ(all("id, size", "items"), "1, 2 3, 3 4, 4 big");
  // A tap that still says integer: what it sends stays a reject.
  const Error misfit = failure(items_schema() + tap_record("items", R"("id":"x")"), into("items"));
  EXPECT_EQ(misfit.exit_code(), ExitCode::refused);
}

TEST_F(LoadSingerVersionTest, AnotherKeyThanThatOfTheTableIsRefused) {
  tap(items_schema() + item(1, "a"), into("items"));
  take_told();
  const Error refused = failure(items_schema("", R"("id","name")") + item(1, "b"), into("items"));
  EXPECT_EQ(refused.exit_code(), ExitCode::refused) << refused.what();
  EXPECT_EQ(all("id, name", "items"), "1 a");
  // Within a run: what came before it is applied by the old one.
  EXPECT_EQ(
      failure(items_schema() + item(2, "b") + items_schema("", R"("name")") + item(1, "c"), into("items"))
          .exit_code(),
      ExitCode::refused);
  EXPECT_EQ(all("id, name", "items"), "1 a, 2 b");
  EXPECT_EQ(take_told(), (Texts{"items: upsert +1 ~0 -0"}));
}

TEST_F(LoadSingerVersionTest, RowsThatAreHeldKeepTheStateAndRowsWithoutAKeyBack) {
  run("CREATE SCHEMA app");
  const std::string log = tap_schema("log", R"("line":{"type":"string"})", "");
  tap(items_schema() + item(1, "a", 1) + tap_activate("items", 1), into("app.*"));
  take_told();
  tap({log + items_schema() + item(1, "b", 2) + tap_record("log", R"("line":"x")") + tap_state(R"({"at":1})"),
       [this] { EXPECT_EQ(told_, Texts{}); }, tap_activate("items", 2) + tap_state(R"({"at":2})")},
      at_states("app.*"));
  EXPECT_EQ(take_told(), (Texts{"items: refresh +0 ~1 -0", "log: append +1 ~0 -0", R"(state {"at":2})"}));
  EXPECT_EQ(kept(), R"({"at":2})");
}

}  // namespace
}  // namespace weir::load
