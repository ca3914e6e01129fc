#include "cli/load/run_load.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/load/open.h"
#include "cli/load/progress.h"
#include "cli/load/report.h"
#include "load/write/schema_change.h"
#include "load/write/target.h"

namespace weir::cli {
namespace {

/// What a contract that evolves would do to the table; the plan says so in SQL.
std::string alter_sql(const Context& context, const pg::Connector& connector, const load::LoadReport& report,
                      const load::LoadOptions& options) {
  if (report.created || report.drift.none()) return {};
  pg::Session session = connector.connect(pg::Role::api, "load", {.stop = context.stop});
  session.set_stop(context.stop);
  const auto target = load::describe_target(session, options.target);
  return target ? load::evolve_sql(*target, report.drift) : std::string();
}

ExitCode show_plan(Context& context, const load::LoadReport& report, const LoadSubject& subject) {
  if (context.global.json) {
    context.out.json(plan_json(report, subject));
  } else {
    context.out.write(plan_text(report, subject, context.out.paint()));
  }
  return report.plan.exit_code();
}

/// An interrupted load says what became of the table, and how to go on; what a reader throws does not know.
[[noreturn]] void tell_interrupted(const load::LoadOptions& options) {
  throw Error(ExitCode::interrupted, fmt::format("interrupted: {} is as it was", printable(options.target)),
              options.fingerprint.empty()
                  ? "Run it again: this kind of source is read from its beginning."
                  : "Run the same command again: what was staged is kept, and it goes on from there.");
}

}  // namespace

ExitCode run_load(Context& context, load::OpenedSource source, load::LoadOptions options) {
  options.source = source.label;
  options.reopen = source.reopen;
  if (!context.arguments.has("restart")) options.fingerprint = source.fingerprint;
  LoadProgressView view(context);
  try {
    const auto connector = load_connector(context);
    load::Load load(connector, std::move(source.reader), options,
                    [&](const load::LoadProgress& progress) { view.show(progress); });
    const load::LoadReport report = load.run(context.stop);
    context.progress.clear();
    if (options.dry_run) {
      const LoadSubject subject{options, alter_sql(context, *connector, report, options)};
      return show_plan(context, report, subject);
    }
    const LoadSubject subject{options};
    if (context.global.json) {
      context.out.json(summary_json(report, subject));
    } else {
      context.out.write(summary_text(report, subject, context.out.paint()));
    }
    return ExitCode::ok;
  } catch (const Error& error) {
    context.progress.clear();
    if (error.exit_code() == ExitCode::interrupted && error.remedy().empty()) tell_interrupted(options);
    throw;
  }
}

ExitCode run_load(Context& context, LoadRequest request) {
  if (request.source.format == load::Format::singer) return run_tap(context, std::move(request));
  load::OpenedSource source;
  try {
    source = load::open_source(request.source, context.stop);
  } catch (const Error& error) {
    // To find out how a file is written its head is read, and a pipe may be slow.
    if (error.exit_code() == ExitCode::interrupted && error.remedy().empty())
      tell_interrupted(request.options);
    throw;
  }
  return run_load(context, std::move(source), std::move(request.options));
}

}  // namespace weir::cli
