// What PostgreSQL takes local times for, against what schedules do with them.
#include <set>
#include <string>

#include <gtest/gtest.h>
#include <fmt/format.h>

#include "pg/row.h"
#include "pipeline/time/preview.h"
#include "pipeline/time/tick.h"
#include "support/database.h"

namespace weir::pipeline {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

constexpr const char* kZones[] = {"Europe/Berlin", "America/New_York",  "Australia/Lord_Howe",
                                  "Asia/Kolkata",  "Africa/Casablanca", "UTC"};
constexpr Instant kFrom = std::chrono::sys_days(std::chrono::year(2019) / 1 / 1);
constexpr Instant kTo = std::chrono::sys_days(std::chrono::year(2027) / 1 / 1);

class PipelineTime : public test::PgTest {
 protected:
  /// Seconds since 1970; the query answers them in a column.
  static std::set<std::int64_t> ask(pg::Session& session, const std::string& sql, std::string_view zone) {
    std::set<std::int64_t> out;
    const pg::Result result = session.execute(sql, std::string(zone));
    for (int row = 0; row < result.rows(); ++row) out.insert(result[row].get<std::int64_t>(0));
    return out;
  }

  static std::set<std::int64_t> ours(const std::string& cron, std::string_view zone) {
    std::set<std::int64_t> out;
    const Cron parsed = Cron::parse(cron);
    const Zone loaded = Zone::load(zone);
    for (auto at = next_tick(parsed, loaded, {}, kFrom - seconds(1)); at && *at < kTo;
         at = next_tick(parsed, loaded, {}, *at))
      out.insert(at->time_since_epoch().count());
    return out;
  }
};

// Quarters of hours, of which all changes of these zones are multiples.
const std::string kQuarters = R"(
  WITH quarter AS MATERIALIZED (
    SELECT t, t AT TIME ZONE $1::text AS wall
    FROM generate_series('2019-01-01 UTC'::timestamptz, '2026-12-31 23:45 UTC', '15 minutes') t)
)";

TEST_F(PipelineTime, InstantsAreShownAsTheServerShowsThem) {
  pg::Session session = this->session();
  for (const char* const name : kZones) {
    const Zone zone = Zone::load(name);
    const pg::Result result = session.execute(
        kQuarters + "SELECT extract(epoch FROM t)::int8, extract(epoch FROM wall)::int8 FROM quarter",
        std::string(name));
    int differ = 0;
    for (int row = 0; row < result.rows(); ++row) {
      const Instant at(seconds(result[row].get<std::int64_t>(0)));
      if (zone.to_local(at).time_since_epoch().count() != result[row].get<std::int64_t>(1)) ++differ;
    }
    EXPECT_EQ(result.rows(), (kTo - kFrom) / minutes(15)) << name;
    EXPECT_EQ(differ, 0) << name;
  }
}

TEST_F(PipelineTime, ARhythmIsEveryInstantWhoseLocalTimeMatches) {
  pg::Session session = this->session();
  for (const char* const zone : kZones) {
    EXPECT_EQ(ask(session, kQuarters + R"(
                SELECT extract(epoch FROM t)::int8 FROM quarter
                WHERE extract(minute FROM wall) IN (15, 30) AND extract(hour FROM wall)::int % 2 = 0
                  AND extract(dow FROM wall) IN (0, 6))",
                  zone),
              ours("15,30 */2 * * sat,sun", zone))
        << zone;
  }
}

TEST_F(PipelineTime, AFixedHourComesOnceInEachLocalDay) {
  pg::Session session = this->session();
  for (const char* const zone : kZones) {
    // The first instant of the day at which the clock shows 02:15 or, where it never does, more than that.
    const auto wanted = ask(session, kQuarters + R"(
        , day AS (SELECT wall::date AS day, min(t) FILTER (WHERE wall::time = '02:15') AS exact,
                         min(t) FILTER (WHERE wall::time > '02:15') AS after
                  FROM quarter GROUP BY 1)
        SELECT extract(epoch FROM coalesce(exact, after))::int8 FROM day
        WHERE coalesce(exact, after) IS NOT NULL AND day BETWEEN '2019-01-02' AND '2026-12-30')",
                            zone);
    auto found = ours("15 2 * * *", zone);
    // The days at the ends are cut.
    std::erase_if(found, [&](std::int64_t at) { return at < *wanted.begin() || at > *wanted.rbegin(); });
    EXPECT_EQ(found, wanted) << zone;
    EXPECT_EQ(wanted.size(), 8U * 365 + 2 - 2) << zone;
  }
}

}  // namespace
}  // namespace weir::pipeline
