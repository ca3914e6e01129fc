#include "load/load.h"

#include <utility>

#include <weir/load.h>

#include "base/error.h"
#include "library/load_values.h"
#include "load/checks.h"
#include "load/write/target.h"

namespace weir {
namespace {

void check(const load::SourceChoice& source, const load::LoadOptions& options) {
  const load::Said said = [&](std::string_view option) { return load::is_said(source, options, option); };
  if (options.target.empty()) throw Error(ExitCode::usage, "a load needs the name of a table");
  load::parse_table_name(options.target);
  load::check_source(source, said);
  load::check_spec(options.spec, said);
  load::check_patience(options.apply);
  load::check_state(options);
  if (options.sample_rows == 0) throw Error(ExitCode::usage, "a sample is at least one record");
}

}  // namespace

struct Load::State {
  State(std::string_view url, const LoadSource& from, const LoadOptions& wanted)
      : connector(load_connector(url)),
        source(choice_of(from)),
        options(loads_of(wanted)),
        restarts(wanted.restart) {
    check(source, options);
  }

  load::LoadReport run(bool dry_run, const std::stop_token& stop) {
    require_loads(*connector, stop);
    load::OpenedSource opened = load::open_source(source, stop);
    load::LoadOptions chosen = options;
    chosen.dry_run = dry_run;
    chosen.source = opened.label;
    chosen.reopen = opened.reopen;
    if (!restarts) chosen.fingerprint = opened.fingerprint;
    load::Load::OnProgress each;
    if (tell) each = [this](const load::LoadProgress& progress) { tell(progress_of(progress)); };
    load::Load loading(connector, std::move(opened.reader), std::move(chosen), std::move(each));
    return loading.run(stop);
  }

  std::shared_ptr<const pg::Connector> connector;
  load::SourceChoice source;
  load::LoadOptions options;
  bool restarts;
  OnProgress tell{};
};

Load::Load(std::string_view url, const LoadSource& source, const LoadOptions& options)
    : state_(std::make_unique<State>(url, source, options)) {}

Load::~Load() = default;

Load& Load::on_progress(OnProgress tell) {
  state_->tell = std::move(tell);
  return *this;
}

LoadPlan Load::plan(const std::stop_token& stop) { return plan_of(state_->run(true, stop)); }
LoadResult Load::run(const std::stop_token& stop) { return result_of(state_->run(false, stop)); }

}  // namespace weir
