#include "load/write/early_guard.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "load/write/load_sql.h"
#include "schema/queries/load_stages.h"

namespace weir::load {
namespace {

bool adds_only(Mode mode) noexcept { return mode == Mode::append || mode == Mode::upsert; }

/// Whose old row a reject would have been, nobody knows: then nothing at all is deleted.
bool withholds_all(pg::Session& session, const LoadSpec& spec, const Stage::Sealed& stage) {
  if (stage.rejects == 0) return false;
  const auto unknown = session.run<sql::LoadUnknownKeys>(stage.run);
  return spec.key.empty() || unknown.one().rejects > 0;
}

}  // namespace

void guard_early(pg::Session& session, const Target& target, bool exists, const LoadSpec& spec,
                 const Stage::Sealed& stage) {
  if (adds_only(spec.mode)) return;
  if (stage.rows == 0 && !spec.guard.allow_empty) {
    throw Error(
        ExitCode::refused,
        fmt::format("the source has no rows{}, and {} would be {}",
                    stage.rejects == 0 ? "" : fmt::format(" but {} rejects", human_count(stage.rejects)),
                    target.label(), exists ? "emptied by it" : "made without any"),
        "Look at the source. If it is right: --allow-empty.");
  }
  if (!exists || stage.rows == 0 || spec.guard.allow_mass_delete || spec.mode == Mode::partition_swap ||
      withholds_all(session, spec, stage))
    return;
  const LoadSql sql(target, spec, stage.table);
  const std::vector<std::size_t> casts = sql.cast_columns();
  for (const std::size_t column : sql.key()) {
    if (std::ranges::find(casts, column) != casts.end())
      return;  // what the server refuses there, apply() rejects
  }
  session.set_timeout(std::chrono::hours(24));  // as apply(): the server's own limits end a statement
  const pg::Result counts = session.execute(sql.count_lost());
  const auto before = counts[0].get<std::int64_t>(0);
  const std::int64_t lost = sql.has_key() && spec.mode != Mode::swap
                                ? counts[0].get<std::int64_t>(1)
                                : std::max<std::int64_t>(0, before - stage.rows);
  if (static_cast<double>(lost) <= spec.guard.max_delete_share * static_cast<double>(before)) return;
  throw Error(
      ExitCode::refused,
      fmt::format("the load would {} {} of {} rows of {} ({:.0f} %, and {:.0f} % are allowed)",
                  spec.mode == Mode::scd2 ? "close" : "delete", human_count(lost), human_count(before),
                  target.label(), 100.0 * static_cast<double>(lost) / static_cast<double>(before),
                  100.0 * spec.guard.max_delete_share),
      "Nothing was written, and the table has not changed its columns. If the source is complete: "
      "--allow-mass-delete.");
}

}  // namespace weir::load
