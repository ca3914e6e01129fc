// What people read about connections.
#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "pg/connect_error.h"

namespace weir::pg {
namespace {

TEST(ConninfoDisplay, ShowsWhichServerAndNoSecretAndNoHousekeeping) {
  Conninfo conninfo = Conninfo::parse("postgresql://eve:sesame@db:5433/x?sslmode=require&sslpassword=abc");
  conninfo.set("application_name", "weir:api:x").set("keepalives_idle", "10").set("client_encoding", "UTF8");
  EXPECT_EQ(conninfo.display(), "postgresql://eve@db:5433/x?sslmode=require");
  EXPECT_EQ(Conninfo::parse(conninfo.url()).options().size(), conninfo.options().size());
}

TEST(ConnectFailure, NamesAStrangerOnThePort) {
  const Conninfo conninfo = Conninfo::parse("postgresql://eve@db/x");
  for (const char* const report :
       {"connection to server at \"db\", port 5432 failed: received invalid response to SSL negotiation: H",
        "connection to server at \"db\", port 5432 failed: expected authentication request from server, but "
        "received H"}) {
    EXPECT_THAT(explain_connect_failure(report, conninfo).hint,
                ::testing::HasSubstr("What listens there is no PostgreSQL server"));
  }
}

}  // namespace
}  // namespace weir::pg
