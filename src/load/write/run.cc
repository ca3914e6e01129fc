#include "load/write/run.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "pg/transaction.h"
#include "schema/queries/loads.h"

namespace weir::load {
namespace {

constexpr int kRejectsAtOnce = 100;

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

void each_reject(pg::Session& session, std::int64_t run, const std::function<void(const RejectRow&)>& use) {
  // Records of up to 64 KiB each, and as many of them as were allowed.
  pg::Transaction transaction(session, {.read_only = true});
  session.execute(std::string("DECLARE weir_rejects NO SCROLL CURSOR FOR ") + sql::LoadRejects::kQuery.text,
                  run);
  for (;;) {
    const pg::Rows<sql::LoadRejects> rows(
        session.execute(fmt::format("FETCH {} FROM weir_rejects", kRejectsAtOnce)));
    for (const auto row : rows) {
      const auto raw = row.raw.data;
      use({.line = row.line,
           .file = std::string(row.file),
           .column = std::string(row.column_name),
           .sqlstate = std::string(row.sqlstate),
           .reason = std::string(row.reason),
           .raw = std::string(reinterpret_cast<const char*>(raw.data()), raw.size())});
    }
    if (rows.size() < kRejectsAtOnce) break;
  }
  transaction.rollback();
}

}  // namespace weir::load
