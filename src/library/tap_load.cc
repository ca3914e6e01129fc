#include <utility>

#include <weir/tap_load.h>

#include "base/error.h"
#include "library/load_values.h"
#include "load/checks.h"
#include "load/singer_load.h"

namespace weir {
namespace {

/// As `weir load --singer` takes them together.
load::SingerLoadOptions tap_options_of(const load::SourceChoice& source, const TapLoadOptions& options) {
  load::SingerLoadOptions tap;
  tap.into = options.loads.into;
  tap.stream = options.loads.stream;
  tap.flatten = source.flatten;
  tap.soft_delete = options.soft_delete;
  tap.max_message_bytes = source.csv.max_record.value_or(tap.max_message_bytes);
  tap.apply_every = options.apply_every;
  tap.each = loads_of(options.loads);
  tap.each.source = load::source_label(source);
  tap.each.stream.clear();
  if (tap.each.pipeline.empty()) tap.each.pipeline = load::default_pipeline(tap.into);
  return tap;
}

void check(const load::SourceChoice& source, const TapLoadOptions& options) {
  const load::LoadOptions each = loads_of(options.loads);
  const load::Said said = [&](std::string_view option) { return load::is_said(source, each, option); };
  if (options.loads.into.empty())
    throw Error(ExitCode::usage, "a tap needs the name of a table, or SCHEMA.*");
  load::check_source(source, said);
  load::check_tap(source, options.loads.into, said);
  load::check_spec(each.spec, said);
  load::check_patience(each.apply);
  if (options.apply_every < std::chrono::milliseconds::zero())
    throw Error(ExitCode::usage, "the records of a tap wait no time, or some");
}

}  // namespace

struct TapLoad::State {
  State(std::string_view url, const LoadSource& from, const TapLoadOptions& wanted, Tell told)
      : connector(load_connector(url)), source(choice_of(from)), tell(std::move(told)) {
    if (from.format) throw Error(ExitCode::usage, "the source of a tap has no format but its own");
    source.format = load::Format::singer;
    check(source, wanted);
    options = tap_options_of(source, wanted);
  }

  load::SingerLoad::Tell words() {
    load::SingerLoad::Tell all{.state = tell.state, .warning = tell.warning};
    if (tell.progress)
      all.progress = [this](const load::LoadProgress& at) { tell.progress(progress_of(at)); };
    if (tell.applied) {
      all.report = [this](const load::LoadReport& report, const load::LoadOptions& of) {
        tell.applied(result_of(report), of.stream);
      };
    }
    return all;
  }

  std::shared_ptr<const pg::Connector> connector;
  load::SourceChoice source;
  load::SingerLoadOptions options{};
  Tell tell;
};

TapLoad::TapLoad(std::string_view url, const LoadSource& source, const TapLoadOptions& options, Tell tell)
    : state_(std::make_unique<State>(url, source, options, std::move(tell))) {}

TapLoad::~TapLoad() = default;

void TapLoad::run(const std::stop_token& stop) {
  require_loads(*state_->connector, stop);
  load::SingerLoad loading(state_->connector, load::open_bytes(state_->source, stop), state_->options,
                           state_->words());
  loading.run(stop);
}

}  // namespace weir
