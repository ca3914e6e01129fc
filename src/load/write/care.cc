#include "load/write/care.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"
#include "pg/identifier.h"
#include "pg/session.h"
#include "schema/queries/loads.h"

namespace weir::load {
namespace {

/// The server's own limits end a statement.
constexpr Duration kLongestCare = std::chrono::hours(24);
constexpr double kDeadShare = 0.1;
/// A snapshot so old will be there for a while.
constexpr double kOldSeconds = 1;
constexpr double kPageBytes = 8192;
constexpr double kEntryOverhead = 16;  // its header and line pointer, with alignment
constexpr std::int64_t kSmallIndex = 128;
constexpr double kThin = 0.5;

/// B-trees that take more than twice the pages that their entries need.
void look_at_indexes(pg::Session& session, const Target& target, CareReport& report) {
  const auto indexes = session.run<sql::LoadIndexSizes>(std::int64_t{target.oid});
  for (const auto index : indexes) {
    if (index.pages < kSmallIndex || index.tuples <= 0) continue;
    const double needed = index.tuples * (index.width + kEntryOverhead) / (kPageBytes * 0.9);
    if (needed >= kThin * static_cast<double>(index.pages)) continue;
    report.advice.push_back(fmt::format(
        "REINDEX INDEX CONCURRENTLY {}.{};  -- {} pages for what about {:.0f} would hold",
        pg::quote_identifier(target.schema), pg::quote_identifier(index.name), index.pages, needed));
  }
}

/// Given values do not move the sequence that makes others: the next row that has none would get one that is
/// there.
void look_at_sequences(pg::Session& session, const Target& target, CareReport& report) {
  const auto sequences = session.run<sql::LoadSequences>(std::int64_t{target.oid});
  for (const auto row : sequences) {
    const std::string greatest =
        fmt::format("SELECT max({}) FROM {}", pg::quote_identifier(row.column_name), target.sql());
    const pg::Result behind = session.execute(
        fmt::format("SELECT coalesce((({}) > (SELECT last_value FROM {})), false)", greatest, row.sequence));
    if (!behind[0].get<bool>(0)) continue;
    report.advice.push_back(
        fmt::format("SELECT setval({}, ({}));  -- {} has values that its sequence would give once more",
                    pg::quote_literal(row.sequence), greatest, printable(row.column_name)));
  }
}

}  // namespace

CareReport take_care(pg::Session& session, const Target& target, std::int64_t dead_rows) {
  CareReport report;
  session.set_timeout(kLongestCare);
  try {
    // Another VACUUM of the table does the same.
    session.set("lock_timeout", "1s");
    const double all = std::max(target.estimated_rows, 1.0);
    if (static_cast<double>(dead_rows) > kDeadShare * all) {
      const auto old = session.run<sql::LoadOldSnapshot>();
      if (!old.empty() && old[0].age_seconds > kOldSeconds) {
        report.skipped =
            fmt::format("{} has a snapshot that is older than the load: nothing could be removed",
                        printable(old[0].description));
        session.execute("ANALYZE " + target.sql());
      } else {
        session.execute(fmt::format("VACUUM (TRUNCATE off, ANALYZE) {}", target.sql()));
        report.vacuumed = true;
      }
      report.analyzed = true;
    }
    look_at_indexes(session, target, report);
    look_at_sequences(session, target, report);
  } catch (const pg::Error& error) {
    report.skipped = error.what();
  }
  return report;
}

}  // namespace weir::load
