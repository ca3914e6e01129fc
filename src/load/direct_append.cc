#include "load/direct_append.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "load/pace.h"
#include "load/value/row_encoder.h"
#include "load/write/apply_attempt.h"
#include "load/write/apply_meter.h"
#include "load/write/doubt.h"
#include "load/write/patience.h"
#include "load/write/run.h"
#include "load/write/target_lock.h"
#include "pg/copy.h"
#include "pg/error.h"
#include "pg/identifier.h"
#include "pg/transaction.h"
#include "schema/queries/loads.h"

namespace weir::load {
namespace {

std::string copy_sql(const Target& target, const std::vector<std::string>& columns) {
  std::string list;
  for (const std::string& column : columns) list += (list.empty() ? "" : ", ") + pg::quote_identifier(column);
  return "COPY " + target.sql() + " (" + list + ") FROM STDIN (FORMAT binary)";
}

}  // namespace

bool DirectAppend::suits(const LoadOptions& options, const Target& target, const Matching& matching) {
  if (options.spec.mode != Mode::append || options.staged || !options.spec.key.empty() ||
      options.spec.rejects.allows_any() || !target.dependents_of(Dependent::Kind::rule).empty() ||
      target.row_security)  // COPY does not ask its policies, and so is refused
    return false;
  return std::ranges::all_of(matching.columns, [&](const Placed& placed) {
    const TargetColumn* column = target.column(placed.name);
    return placed.fate == Placed::Fate::discarded ||
           (placed.fate == Placed::Fate::loaded && column != nullptr && column->type.base != Base::other);
  });
}

DirectAppend::DirectAppend(Connect connect, const Target& target, const LoadOptions& options,
                           OnProgress on_progress)
    : connect_(std::move(connect)),
      target_(target),
      options_(options),
      on_progress_(std::move(on_progress)) {}

Applied DirectAppend::run(SampledReader& reader, Evolution& evolution, std::int64_t run,
                          const std::optional<StateChange>& state, const std::stop_token& stop) {
  const ApplyOptions& patience = options_.apply;
  for (int attempt = 1;; ++attempt) {
    std::string why;
    try {
      if (std::optional<Applied> applied = try_once(reader, evolution, run, state, stop)) {
        applied->attempts = attempt;
        return std::move(*applied);
      }
      why = "another table has its name";
    } catch (const pg::LockTimeout& error) {
      why = error.what();
      longest_wait_ = std::max(longest_wait_, options_.apply.lock_timeout);
    } catch (const pg::Retryable& error) {
      why = error.what();
    } catch (const pg::Error& error) {
      if (begun_ || !is_gone(error)) throw;
      why = error.what();
    }
    if (begun_) {
      if (options_.reopen) throw NeedsStage{why};
      give_up(connect_, target_, attempt, why);
    }
    if (attempt >= patience.attempts) give_up(connect_, target_, attempt, why);
    wait_to_retry(patience, attempt, why);
  }
}

/// The table's own lock too, before the first record is read: behind one that is waited for in vain it can be
/// tried again.
Duration DirectAppend::lock(pg::Session& session, pg::Transaction& transaction) {
  const Duration waited = lock_target(session, target_, options_.apply, TargetLock::transaction);
  transaction.set_local("lock_timeout", limit_of(options_.apply.lock_timeout));
  // Who may write only some of its columns may not say LOCK, and COPY asks for the lock itself.
  return std::max<Duration>(
      waited, lock_by_name(session, fmt::format("LOCK TABLE ONLY {} IN ROW EXCLUSIVE MODE", target_.sql())));
}

/// Nothing where it has to be tried again: the table of that name is another one.
std::optional<Applied> DirectAppend::try_once(SampledReader& reader, Evolution& evolution, std::int64_t run,
                                              const std::optional<StateChange>& state,
                                              const std::stop_token& stop) {
  Applied applied{.strongest_lock = LockMode::row_exclusive};
  pg::Session session = connect_();
  const ApplyMeter meter(session);
  pg::Transaction transaction(session);
  applied.longest_wait = std::max(longest_wait_, lock(session, transaction));
  if (!is_same_table(session, evolution.router(false).shape().names)) return std::nullopt;
  try {
    applied.inserted = copy(session, reader, evolution, stop);
  } catch (const pg::Error& error) {
    if (error.kind() == pg::ErrorKind::stopped) fail_stopped();
    if (!is_of_a_row(error)) throw;
    throw Error(
        ExitCode::refused,
        fmt::format("{} does not take a record: {}; nothing was loaded", target_.label(), reason_of(error)),
        "Which record it is, and whether others are like it, this load tells with --staged. "
        "Or allow some: --max-rejects N, or P%");
  }
  if (state) advance_state(session, *state, run, applied.inserted);
  applied.waiting = look_who_waits(session);
  meter.read(session, applied);
  finish_run(session, run, 0, applied.to_json(evolution.losses().counts()));
  if (options_.apply.before_commit) options_.apply.before_commit(session);
  try {
    transaction.commit();
  } catch (const pg::InDoubt& doubt) {
    if (!was_applied(connect_, target_, run, options_.apply, doubt))
      throw Error(
          ExitCode::failed,
          fmt::format("the connection was lost while the load committed, and it did not: {} is as it was",
                      target_.label()),
          "Run it again.");
    applied.was_in_doubt = true;
  }
  return applied;
}

/// Throws refused where the record can have no row.
void DirectAppend::add(SampledReader& reader, const Record& record, Evolution& evolution, Router& router,
                       std::string& rows) {
  const Record* at_hand = &record;
  while (const auto reject = router.add(*at_hand, 0, rows)) {
    const std::string what = fmt::format(
        "{}line {}{}{}: {}", reject->file.empty() ? "" : printable(reject->file) + ", ", reject->line,
        reject->column.empty() ? "" : ", column ", printable(reject->column), printable(reject->reason));
    if (!evolution.helps(router, *at_hand)) {
      throw Error(ExitCode::refused, what + "; nothing was loaded",
                  "Nothing behind it was read. Mend it, or allow some: --max-rejects N, or P%");
    }
    if (!evolution.mend(router, *at_hand).none()) throw NeedsStage{what};
    at_hand = &reader.held(0);
    router = evolution.router(false);
  }
}

/// The bytes mean what the columns are: a time of a number's size would be taken for one. Where the name is
/// that of a table alike, that is the target.
bool DirectAppend::is_same_table(pg::Session& session, const std::vector<std::string>& columns) {
  auto now = describe_target(session, target_.sql());
  if (!now) return false;
  const bool alike = std::ranges::all_of(columns, [&](const std::string& name) {
    const TargetColumn* const column = now->column(name);
    const TargetColumn* const before = target_.column(name);
    return column != nullptr && before != nullptr && column->type == before->type;
  });
  if (!alike) refuse_moved(target_);
  const bool same = now->oid == target_.oid;
  if (!same && !target_.row_security && now->row_security) refuse_moved(target_);
  target_ = std::move(*now);
  return same;
}

void DirectAppend::fail_stopped() const {
  throw Error(ExitCode::interrupted, fmt::format("the load was stopped; {} is as it was", target_.label()),
              "Run it again: it begins anew. With --staged a load that is broken off goes on where it was.");
}

std::int64_t DirectAppend::copy(pg::Session& session, SampledReader& reader, Evolution& evolution,
                                const std::stop_token& stop) {
  Router router = evolution.router(false);
  pg::CopyIn copy(session, copy_sql(target_, router.shape().names));
  std::string rows;
  RowEncoder::begin(rows);
  SteadyTime told{};
  for (std::uint64_t records = 0;; ++records) {
    if (records % kRecordsBetweenLooks == 0) {
      if (stop.stop_requested()) fail_stopped();
      if (const SteadyTime now = std::chrono::steady_clock::now();
          on_progress_ && now - told >= kTellInterval) {
        told = now;
        on_progress_(records, reader.progress());
      }
    }
    begun_ = true;
    const std::optional<Record> record = reader.next();
    if (!record) break;
    add(reader, *record, evolution, router, rows);
    if (rows.size() >= kWriteBytes) {
      copy.write(rows);
      rows.clear();
    }
  }
  RowEncoder::end(rows);
  copy.write(rows);
  return copy.finish();
}

}  // namespace weir::load
