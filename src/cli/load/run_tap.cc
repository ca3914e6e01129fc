#include <utility>

#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "cli/load/open.h"
#include "cli/load/progress.h"
#include "cli/load/report.h"
#include "cli/load/run_load.h"

namespace weir::cli {
namespace {

/// Standard output belongs to the tap's states: whoever runs the tap keeps the last line of it.
class TapTeller {
 public:
  explicit TapTeller(Context& context)
      : context_(context), errors_(STDERR_FILENO, false), progress_(context) {}

  load::SingerLoad::Tell all() {
    return {.progress = [this](const load::LoadProgress& progress) { progress_.show(progress); },
            .state = [this](const std::string& state) { context_.out.line(state); },
            .report = [this](const load::LoadReport& report,
                             const load::LoadOptions& options) { tell(report, options); },
            .warning = [this](const std::string& text) { warn(text); }};
  }

 private:
  void tell(const load::LoadReport& report, const load::LoadOptions& options) {
    context_.progress.clear();
    if (context_.global.json) {
      errors_.json_line(summary_json(report, {options}));
      return;
    }
    context_.progress.note(fmt::format(
        "{}: {} of {}, {}{}", report.target, load::to_string(options.spec.mode), options.stream,
        actions_text(*report.applied),
        report.rejected > 0 ? fmt::format(", {} rejected: weir load rejects {}", report.rejected, report.run)
                            : ""));
  }

  void warn(const std::string& text) {
    context_.progress.clear();
    log::warn(text);
  }

  Context& context_;
  Output errors_;
  LoadProgressView progress_;
};

std::string how_to_go_on(const std::string& pipeline) {
  return fmt::format(
      "What was told is in the tables, with its state. Start the tap again from there: weir load state '{}'",
      pipeline);
}

}  // namespace

ExitCode run_tap(Context& context, LoadRequest request) {
  load::SingerLoadOptions& tap = request.tap;
  tap.each = std::move(request.options);
  tap.each.source = load::source_label(request.source);
  tap.each.stream.clear();
  if (tap.each.pipeline.empty()) tap.each.pipeline = load::default_pipeline(tap.into);
  const std::string pipeline = tap.each.pipeline;
  TapTeller teller(context);
  try {
    const auto connector = load_connector(context);
    load::SingerLoad load(connector, load::open_bytes(request.source, context.stop), std::move(tap),
                          teller.all());
    load.run(context.stop);
    context.progress.clear();
    return ExitCode::ok;
  } catch (const Error& error) {
    context.progress.clear();
    if (error.exit_code() != ExitCode::interrupted) throw;
    throw Error(ExitCode::interrupted, "interrupted", how_to_go_on(pipeline));
  }
}

}  // namespace weir::cli
