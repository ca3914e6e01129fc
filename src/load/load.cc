#include "load/load.h"

#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "load/direct_append.h"
#include "load/extraction.h"
#include "load/read/sampled_reader.h"
#include "load/shape.h"
#include "load/write/run.h"
#include "pg/error.h"

namespace weir::load {
namespace {

constexpr std::size_t kSampleBytes = std::size_t{8} << 20U;

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += word + ',';
  return text;
}

}  // namespace

struct Load::Parts {
  std::shared_ptr<const pg::Connector>
      users;  ///< with the user's search_path: types, views and triggers go by it
  SampledReader reader;
  LoadOptions options;
  OnProgress on_progress;
  LoadReport report{};

  Parts(std::shared_ptr<const pg::Connector> connector, std::unique_ptr<RecordReader> source,
        LoadOptions chosen, OnProgress tell)
      : users(std::move(connector)),
        reader(std::move(source)),
        options(std::move(chosen)),
        on_progress(std::move(tell)) {}

  [[nodiscard]] pg::Session connect(const std::stop_token& stop) const {
    pg::Session session =
        users->connect(pg::Role::load, report.run == 0 ? "plan" : std::to_string(report.run), {.stop = stop});
    session.set_stop(stop);
    return session;
  }

  void tell(LoadProgress::Phase phase, std::string note = {}) {
    if (on_progress) {
      on_progress({.phase = phase,
                   .rows = report.records,
                   .rejected = report.rejected,
                   .read = reader.progress(),
                   .note = std::move(note)});
    }
  }

  void run(const std::stop_token& stop);
  void write(const LoadShape& shape, const std::stop_token& stop);
  void begin(pg::Session& session, const LoadShape& shape);
  void through_stage(const LoadShape& shape, const std::optional<StateChange>& state,
                     const std::stop_token& stop);
  void directly(const LoadShape& shape, const std::optional<StateChange>& state, const std::stop_token& stop);
  void give_up(const std::string& error) noexcept;

  [[nodiscard]] Router router(const LoadShape& shape, std::vector<ColumnType> types, bool numbered) const {
    return Router({.columns = shape.matching.columns,
                   .names = shape.columns,
                   .types = std::move(types),
                   .key = options.spec.key,
                   .contract = options.contract,
                   .numbered = numbered});
  }
};

Load::Load(std::shared_ptr<const pg::Connector> connector, std::unique_ptr<RecordReader> reader,
           LoadOptions options, OnProgress on_progress)
    : parts_(std::make_unique<Parts>(std::move(connector), std::move(reader), std::move(options),
                                     std::move(on_progress))) {}

Load::~Load() = default;

LoadReport Load::run(const std::stop_token& stop) {
  const SteadyTime began = std::chrono::steady_clock::now();
  parts_->run(stop);
  parts_->report.took = std::chrono::steady_clock::now() - began;
  return std::move(parts_->report);
}

void Load::Parts::run(const std::stop_token& stop) {
  tell(LoadProgress::Phase::sample);
  reader.read_sample(options.sample_rows, kSampleBytes);
  pg::Session session = users->connect(pg::Role::load, "plan", {.stop = stop});
  session.set_stop(stop);
  LoadShape shape = find_shape(session, reader, options);
  options.spec.columns = shape.columns;
  report.target = shape.target.label();
  report.created = !shape.exists;
  if (report.created) report.created_sql = create_table_sql(shape.name, shape.created, options.spec.key);
  report.drift = shape.drift;
  report.discarded = shape.matching.discarded();
  report.plan = make_plan(shape.target, options.spec, "weir_stage.stage", session.server_version());
  if (options.dry_run) {
    report.records = reader.sampled();
    return;
  }
  report.plan.require();
  prepare_target(session, shape, options);
  begin(session, shape);
  try {
    write(shape, stop);
  } catch (const pg::InDoubt&) {
    throw;  // whoever looks later finds in weir.load_run what came of it
  } catch (const std::exception& error) {
    if (options.fingerprint.empty() || report.direct) give_up(error.what());
    throw;
  }
}

/// Finds the run that was broken off, or begins one.
void Load::Parts::begin(pg::Session& session, const LoadShape& shape) {
  report.direct = DirectAppend::suits(options, shape.target, shape.matching) && shape.exists;
  std::string fingerprint;
  if (!options.fingerprint.empty()) {
    fingerprint = fmt::format("{} > {} {} key {} columns {}", options.fingerprint, shape.target.label(),
                              to_string(options.spec.mode), joined(options.spec.key), joined(shape.columns));
    if (const auto left = report.direct ? std::nullopt : find_resumable(session, fingerprint)) {
      report.run = *left;
      return;
    }
  }
  report.run = begin_run(session,
                         {.pipeline = options.pipeline,
                          .stream = options.stream,
                          .source = options.source,
                          .fingerprint = fingerprint},
                         shape.target, options.spec.mode);
}

void Load::Parts::write(const LoadShape& shape, const std::stop_token& stop) {
  std::optional<StateChange> state;
  if (!options.pipeline.empty() || !options.stream.empty() || options.state) {
    state = StateChange{.before = options.began_with.value_or(State{}), .json = options.state.value_or("")};
    if (!options.began_with) {
      pg::Session session = connect(stop);
      state->before = read_state(session, options.pipeline, options.stream);
    }
  }
  if (report.direct) {
    directly(shape, state, stop);
  } else {
    through_stage(shape, state, stop);
  }
  tell(LoadProgress::Phase::care);
  pg::Session session = connect(stop);
  report.care = take_care(session, shape.target, report.applied->dead_rows);
}

void Load::Parts::directly(const LoadShape& shape, const std::optional<StateChange>& state,
                           const std::stop_token& stop) {
  std::vector<ColumnType> types;
  types.reserve(shape.columns.size());
  for (const std::string& name : shape.columns) types.push_back(shape.target.column(name)->type);
  Router rows = router(shape, std::move(types), false);
  DirectAppend append([&] { return connect(stop); }, shape.target, options,
                      [this](std::uint64_t records, const ReadProgress& /*read*/) {
                        report.records = records;
                        tell(LoadProgress::Phase::stage);
                      });
  report.applied = append.run(reader, rows, report.run, state, stop);
  report.records = static_cast<std::uint64_t>(report.applied->inserted);
}

void Load::Parts::through_stage(const LoadShape& shape, const std::optional<StateChange>& state,
                                const std::stop_token& stop) {
  pg::Session holder = connect(stop);
  pg::Session writer = connect(stop);
  Stage stage = Stage::open(holder, shape.target, options.spec, report.run);
  Router rows = router(shape, stage.types(), true);
  Extraction extraction(reader, writer, stage, options,
                        [this](const Extraction::Totals& totals, const ReadProgress& /*read*/) {
                          report.records = totals.records;
                          report.rejected = totals.rejected;
                          tell(LoadProgress::Phase::stage);
                        });
  const Extraction::Totals totals = extraction.run(rows, stop);
  report.records = totals.records;
  report.rejected = totals.rejected;
  report.resumed_from = totals.resumed_from;
  const Stage::Sealed sealed = stage.seal(writer, totals.chunks);

  tell(LoadProgress::Phase::apply);
  ApplyOptions applying = options.apply;
  applying.stop = stop;
  applying.on_event = [this](const ApplyEvent& event) { tell(LoadProgress::Phase::apply, event.text); };
  report.applied = apply([&] { return connect(stop); }, shape.target, options.spec, sealed, state, applying);
  report.rejected = static_cast<std::uint64_t>(report.applied->rejected);
  stage.clear(writer);
}

void Load::Parts::give_up(const std::string& error) noexcept {
  try {
    pg::Session session = connect({});
    fail_run(session, report.run, error);
  } catch (const std::exception& failure) {
    log::warn("the run could not be marked as failed", {{"run", report.run}, {"error", failure.what()}});
  }
}

}  // namespace weir::load
