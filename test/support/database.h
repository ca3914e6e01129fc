#pragma once

#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "pg/connector.h"
#include "support/server.h"

namespace weir::test {

/// A test with an empty database of its own on the shared server. After it nothing may be left in there: no
/// session of Weir's, no lock, no temporary table, no prepared transaction.
class PgTest : public ::testing::Test {
 protected:
  enum class Holds { nothing, schema };
  explicit PgTest(Holds holds = Holds::nothing) : holds_(holds) {}

  void SetUp() override;
  void TearDown() override;

  [[nodiscard]] const std::string& database() const noexcept { return database_; }
  [[nodiscard]] const pg::Connector& connector() const noexcept { return *connector_; }
  [[nodiscard]] std::shared_ptr<const pg::Connector> shared_connector() const noexcept { return connector_; }
  /// A session of role api for the test itself, with the search_path that a user has.
  [[nodiscard]] pg::Session session() const { return users_connector().connect(pg::Role::api, "test"); }
  /// For sessions that run SQL of users.
  [[nodiscard]] pg::Connector users_connector() const;
  [[nodiscard]] pg::Conninfo tcp_conninfo() const { return TestServer::shared().tcp_conninfo(database_); }
  /// For other programs: DATABASE_URL, psql.
  [[nodiscard]] std::string url() const;
  [[nodiscard]] std::string tcp_url() const;

  /// Server processes end a moment after their clients; for so long the look for leaks waits.
  Duration patience_ = std::chrono::seconds(30);

 private:
  void check_for_leaks(pg::Session& admin) const;

  Holds holds_;
  std::string database_;
  std::shared_ptr<const pg::Connector> connector_;
};

/// The same with Weir's schema in the database.
class SchemaTest : public PgTest {
 protected:
  SchemaTest() : PgTest(Holds::schema) {}
};

}  // namespace weir::test
