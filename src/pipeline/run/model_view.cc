#include "pipeline/run/model_view.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"
#include "pg/error.h"
#include "schema/queries/models.h"

namespace weir::pipeline {
namespace {

/// CREATE OR REPLACE VIEW can add columns behind those that there are, and nothing else.
constexpr std::string_view kOtherColumns = "42P16";
constexpr std::string_view kOthersDepend = "2BP01";

[[noreturn]] void refuse(const ModelBody& body, std::string_view why) {
  throw Error(ExitCode::failed,
              fmt::format("{} has to be made anew, for its columns are no longer those it had, and {}",
                          body.relation, why),
              "Drop it, and make it again when the task has run.");
}

void drop_view(pg::Session& session, const ModelBody& body) {
  std::vector<std::string> extras;
  for (const auto& row : session.run<sql::ViewExtras>(body.relation)) extras.emplace_back(row.what);
  if (!extras.empty()) refuse(body, fmt::format("it has a {}", fmt::join(extras, ", a ")));
  try {
    session.execute("DROP VIEW " + body.relation);
  } catch (const pg::Error& error) {
    if (error.sqlstate() != kOthersDepend) throw;
    const std::string& detail = error.info().detail;
    refuse(body, detail.empty() ? error.info().message : detail.substr(0, detail.find('\n')));
  }
}

struct Keepsake {
  std::string column;  ///< empty: of the view
  std::string statement;
};

void make_anew(RunningTask& running, pg::Session& session, const ModelBody& body) {
  std::vector<Keepsake> keepsakes;
  for (const auto& row : session.run<sql::ViewKeepsakes>(body.relation))
    keepsakes.push_back({std::string(row.column_name.value_or("")), std::string(row.statement)});
  drop_view(session, body);
  run_script(running, session, {fmt::format("CREATE VIEW {} AS\n{}", body.relation, body.select), body.file});
  std::vector<std::string> columns;
  for (const auto& row : session.run<sql::ViewColumns>(body.relation)) columns.emplace_back(row.name);
  std::vector<std::string> revokes;
  for (const auto& row : session.run<sql::ViewGrantees>(body.relation)) revokes.emplace_back(row.statement);
  for (const std::string& statement : revokes) session.execute(statement);
  for (const Keepsake& kept : keepsakes) {
    if (kept.column.empty() || std::find(columns.begin(), columns.end(), kept.column) != columns.end())
      session.execute(kept.statement);
  }
  running.log.say(fmt::format(
      "{}: the view is made anew, for its columns are others; owner, rights and comments are as they were",
      body.relation));
}

}  // namespace

void make_view(RunningTask& running, pg::Session& session, const ModelBody& body) {
  session.execute("SAVEPOINT weir_view");
  try {
    run_script(running, session,
               {fmt::format("CREATE OR REPLACE VIEW {} AS\n{}", body.relation, body.select), body.file});
  } catch (const pg::Error& error) {
    if (error.sqlstate() != kOtherColumns) throw;
    session.execute("ROLLBACK TO SAVEPOINT weir_view");
    make_anew(running, session, body);
  }
  session.execute("RELEASE SAVEPOINT weir_view");
}

}  // namespace weir::pipeline
