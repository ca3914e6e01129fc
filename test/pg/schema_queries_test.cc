// Every named query, prepared on a real server and compared with what its header declares.

#include <array>
#include <optional>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "pg/wire.h"
#include "schema/all_queries.h"
#include "schema/server_info.h"
#include "support/database.h"

namespace weir::schema {
namespace {

using namespace std::chrono_literals;

constexpr const char* kIndeterminate = "42P18";

class QueriesTest : public test::SchemaTest {
 protected:
  void SetUp() override {
    SchemaTest::SetUp();
    wire_.emplace(pg::Wire::connect(connector().conninfo(), limit()));
  }
  void TearDown() override {
    wire_.reset();
    SchemaTest::TearDown();
  }

  /// What the server thinks of a query, line by line, where it differs from the declaration; empty when it
  /// agrees.
  std::string disagreement(const pg::Query& query) {
    // Without the declared types first: with them the server would agree to nearly anything.
    pg::Result described = describe(query, {});
    if (described.status() == pg::Result::Status::error && described.error().sqlstate == kIndeterminate) {
      described = describe(query, query.parameters);
    }
    if (described.status() == pg::Result::Status::error) return described.error().message;
    std::string text = compare("parameter", query.parameters, described.parameters(),
                               [&](int i) { return described.parameter_type(i); });
    text += compare("column", query.columns, described.columns(),
                    [&](int i) { return described.column_type(i); });
    return text;
  }

 private:
  static pg::Limit limit() { return pg::Limit::within(30s); }

  pg::Result describe(const pg::Query& query, std::span<const pg::Oid> types) {
    wire_->send_prepare("", query.text, types);
    pg::Result prepared = answer();
    if (prepared.status() == pg::Result::Status::error) return prepared;
    wire_->send_describe_prepared("");
    return answer();
  }

  pg::Result answer() {
    pg::Result first = wire_->next_result(limit()).value();
    while (wire_->next_result(limit())) continue;
    return first;
  }

  template <class TypeAt>
  static std::string compare(std::string_view kind, std::span<const pg::Oid> declared, int count,
                             TypeAt type_at) {
    if (std::cmp_not_equal(declared.size(), count)) {
      return std::to_string(declared.size()) + " " + std::string(kind) + "s declared, " +
             std::to_string(count) + " on the server\n";
    }
    std::string text;
    for (int i = 0; i < count; ++i) {
      const pg::Oid found = type_at(i);
      const pg::Oid wanted = declared[static_cast<std::size_t>(i)];
      if (found == wanted) continue;
      text.append(kind).append(" ").append(std::to_string(i + 1)).append(" is ").append(pg::type_name(found));
      text.append(" on the server, declared as ").append(pg::type_name(wanted)).append("\n");
    }
    return text;
  }

  std::optional<pg::Wire> wire_;
};

TEST_F(QueriesTest, AgreeWithTheServerOnEveryType) {
  ASSERT_FALSE(sql::all_queries().empty());
  for (const pg::Query* query : sql::all_queries()) EXPECT_EQ(disagreement(*query), "") << query->name;
}

// The test of the test: each kind of wrong declaration is found.
TEST_F(QueriesTest, WrongDeclarationsAreFound) {
  static constexpr std::array kInt4{pg::oid::kInt4};
  static constexpr std::array kInt8{pg::oid::kInt8};
  static constexpr std::array kText{pg::oid::kText};
  const auto found = [this](const char* text, std::span<const pg::Oid> parameters,
                            std::span<const pg::Oid> columns) {
    return disagreement({"wrong", text, parameters, columns});
  };
  EXPECT_EQ(found("SELECT count(*)", {}, kInt8), "");
  EXPECT_EQ(found("SELECT count(*)", {}, kInt4), "column 1 is int8 on the server, declared as int4\n");
  EXPECT_EQ(found("SELECT 1, 2", {}, kInt4), "1 columns declared, 2 on the server\n");
  EXPECT_EQ(found("SELECT oid::int8 FROM pg_class WHERE relname = $1", kText, kInt8),
            "parameter 1 is name on the server, declared as text\n");
  EXPECT_EQ(found("SELECT 1 WHERE $1", kInt4, kInt4),
            "parameter 1 is bool on the server, declared as int4\n");
  EXPECT_EQ(found("SELECT $1", kText, kText), "");
  EXPECT_NE(found("SELECT nonsense FROM nowhere", {}, kText), "");
}

TEST_F(QueriesTest, RunAndDecode) {
  pg::Session session = this->session();
  const auto instance = session.run<sql::Instance>();
  EXPECT_NE(instance.one().id, pg::Uuid());

  const auto sessions = session.run<sql::WeirSessions>();
  EXPECT_TRUE(sessions.empty());  // not the one that asks
  const pg::Session other = connector().connect(pg::Role::poll, "a:b");
  const auto again = session.run<sql::WeirSessions>();
  ASSERT_EQ(again.size(), 1);
  EXPECT_EQ(again[0].role, "poll");
  EXPECT_EQ(again[0].id, "a:b");
  EXPECT_EQ(again[0].pid, other.backend_pid());

  const auto by_role = session.run<sql::SessionsByRole>();
  ASSERT_EQ(by_role.size(), 2);
  EXPECT_EQ(by_role[0].role, "api");
  EXPECT_EQ(by_role[0].active, 1);
  EXPECT_EQ(by_role[1].sessions, 1);
}

TEST_F(QueriesTest, ServerInfoKnowsLimitsSettingsAndClock) {
  pg::Session session = this->session();
  session.set("lock_timeout", "1500ms");
  const ServerInfo info = fetch_server_info(session);
  EXPECT_EQ(info.version, session.server_version());
  EXPECT_FALSE(info.in_recovery);
  EXPECT_GT(info.limits.max_connections, 0);
  EXPECT_GE(info.limits.reserved, 1);
  EXPECT_EQ(info.limits.database_limit, -1);
  EXPECT_GE(info.client_connections, 1);
  EXPECT_EQ(info.database, database());
  EXPECT_EQ(info.setting("lock_timeout"), "1500ms");
  EXPECT_TRUE(info.setting("synchronous_commit"));
  EXPECT_TRUE(info.setting("TimeZone"));
  EXPECT_EQ(info.settings.size(), 12U);
  EXPECT_FALSE(info.setting("work_mem"));
  EXPECT_LT(std::chrono::abs(info.clock_offset), 1s + info.round_trip);
}

}  // namespace
}  // namespace weir::schema
