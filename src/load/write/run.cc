#include "load/write/run.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "pg/transaction.h"
#include "schema/queries/loads.h"

namespace weir::load {
namespace {

// Of one fetch. A record has up to kRejectKept bytes, and most are short.
constexpr std::size_t kFirstRejects = 16;
constexpr std::size_t kMostRejects = 1000;
constexpr std::size_t kFetchBytes = std::size_t{1} << 20U;

template <class Row>
RejectRow reject_of(const Row& row) {
  const auto raw = row.raw.data;
  return {.line = row.line,
          .file = std::string(row.file),
          .column = std::string(row.column_name),
          .sqlstate = std::string(row.sqlstate),
          .reason = std::string(row.reason),
          .raw = std::string(reinterpret_cast<const char*>(raw.data()), raw.size())};
}

std::vector<RunRow> read_runs(pg::Session& session, std::optional<std::string_view> target,
                              std::optional<std::int64_t> run, std::int64_t most) {
  std::vector<RunRow> runs;
  const auto rows = session.run<sql::LoadRuns>(target, run, most);
  for (const auto row : rows) {
    runs.push_back({.id = row.id,
                    .pipeline = std::string(row.pipeline),
                    .stream = std::string(row.stream),
                    .source = std::string(row.source),
                    .target = std::string(row.target),
                    .mode = std::string(row.mode),
                    .state = std::string(row.state),
                    .error = std::string(row.error.value_or("")),
                    .summary = std::string(row.summary ? row.summary->text : ""),
                    .rejects = row.rejects,
                    .started_at = row.started_at,
                    .ended_at = row.ended_at,
                    .running = row.running,
                    .resumable = row.resumable});
  }
  return runs;
}

}  // namespace

std::int64_t begin_run(pg::Session& session, const RunStart& start, const Target& target, Mode mode) {
  const auto made =
      session.run<sql::LoadBeginRun>(start.pipeline, start.stream, start.source, start.fingerprint,
                                     target.label(), std::int64_t{target.oid}, to_string(mode));
  return made.one().id;
}

std::optional<std::int64_t> find_resumable(pg::Session& session, std::string_view fingerprint) {
  const auto found = session.run<sql::LoadResumable>(fingerprint);
  if (found.empty()) return std::nullopt;
  return found[0].id;
}

void finish_run(pg::Session& session, std::int64_t run, std::int64_t rejects, std::string_view summary) {
  if (!session.run<sql::LoadFinishRun>(run, rejects, pg::JsonView{summary}).empty()) return;
  throw Error(ExitCode::refused, fmt::format("load {} was applied or given up already", run),
              "weir load show tells what became of it.");
}

void fail_run(pg::Session& session, std::int64_t run, std::string_view error) {
  session.run<sql::LoadFailRun>(run, printable(error));
}

void break_run(pg::Session& session, std::int64_t run, std::string_view error) {
  session.run<sql::LoadBreakRun>(run, printable(error));
}

void resume_run(pg::Session& session, std::int64_t run, const Target& target) {
  if (!session.run<sql::LoadResumeRun>(run, std::int64_t{target.oid}).empty()) return;
  throw Error(ExitCode::refused, fmt::format("load {} has ended meanwhile", run),
              "weir load show tells what became of it.");
}

std::vector<RunRow> list_runs(pg::Session& session, std::string_view target, std::int64_t limit) {
  const std::optional<std::string_view> of = target.empty() ? std::nullopt : std::optional(target);
  return read_runs(session, of, std::nullopt, limit);
}

std::optional<RunRow> find_run(pg::Session& session, std::int64_t run) {
  std::vector<RunRow> runs = read_runs(session, std::nullopt, run, 1);
  if (runs.empty()) return std::nullopt;
  return std::move(runs.front());
}

RejectCursor::RejectCursor(pg::Session& session, std::int64_t run)
    : session_(&session),
      transaction_(std::make_unique<pg::Transaction>(session, pg::TransactionOptions{.read_only = true})),
      wanted_(kFirstRejects) {
  // It waits for the target's lock and for the stage in between.
  session.execute("SET LOCAL idle_in_transaction_session_timeout = 0");
  session.execute(std::string("DECLARE weir_rejects NO SCROLL CURSOR FOR ") + sql::LoadRejects::kQuery.text,
                  run);
}

RejectCursor::~RejectCursor() = default;

std::optional<RejectRow> RejectCursor::next() {
  if (at_ == batch_.size() && transaction_) fetch();
  if (at_ == batch_.size()) return std::nullopt;
  return std::move(batch_[at_++]);
}

/// As many as are about kFetchBytes, going by those before.
void RejectCursor::fetch() {
  batch_.clear();
  at_ = 0;
  std::size_t bytes = 0;
  {
    const pg::Rows<sql::LoadRejects> rows(
        session_->execute(fmt::format("FETCH {} FROM weir_rejects", wanted_)));
    for (const auto row : rows) {
      batch_.push_back(reject_of(row));
      bytes += batch_.back().raw.size() + batch_.back().reason.size() + sizeof(RejectRow);
    }
  }
  if (batch_.size() < wanted_) {
    transaction_->rollback();
    transaction_.reset();
    return;
  }
  wanted_ = std::clamp<std::size_t>(wanted_ * kFetchBytes / bytes, 1, std::min(kMostRejects, 4 * wanted_));
}

void each_reject(pg::Session& session, std::int64_t run, const std::function<void(const RejectRow&)>& use) {
  RejectCursor rejects(session, run);
  while (const auto reject = rejects.next()) use(*reject);
}

std::vector<RejectReason> reject_reasons(pg::Session& session, std::int64_t run, std::int64_t most) {
  std::vector<RejectReason> reasons;
  const auto rows = session.run<sql::LoadRejectReasons>(run, most);
  for (const auto row : rows) reasons.push_back({.count = row.count, .first = reject_of(row)});
  return reasons;
}

}  // namespace weir::load
