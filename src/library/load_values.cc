#include "library/load_values.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/error.h"
#include "schema/schema_check.h"

namespace weir {
namespace {

constexpr std::size_t kMostOfRecord = std::size_t{1} << 30U;

/// Longer is for ever, to the server as well: nanoseconds hold no more than 292 years.
constexpr std::chrono::milliseconds kLongest = std::chrono::hours(24 * 24);

load::Format format_of(LoadSource::Format format) {
  using Format = LoadSource::Format;
  switch (format) {
    case Format::csv: return load::Format::csv;
    case Format::tsv: return load::Format::tsv;
    case Format::ndjson: return load::Format::ndjson;
    case Format::json: return load::Format::json;
    case Format::sqlite: return load::Format::sqlite;
    case Format::postgres: return load::Format::postgres;
  }
  throw Error(ExitCode::usage, "the format of a source is none");
}

load::Mode mode_of(LoadMode mode) {
  switch (mode) {
    case LoadMode::append: return load::Mode::append;
    case LoadMode::upsert: return load::Mode::upsert;
    case LoadMode::window: return load::Mode::window;
    case LoadMode::refresh: return load::Mode::refresh;
    case LoadMode::scd2: return load::Mode::scd2;
    case LoadMode::swap: return load::Mode::swap;
    case LoadMode::partition_swap: return load::Mode::partition_swap;
  }
  throw Error(ExitCode::usage, "the mode of a load is none");
}

load::Contract contract_of(LoadContract contract) {
  switch (contract) {
    case LoadContract::evolve: return load::Contract::evolve;
    case LoadContract::freeze: return load::Contract::freeze;
    case LoadContract::discard: return load::Contract::discard;
    case LoadContract::quarantine: return load::Contract::quarantine;
  }
  throw Error(ExitCode::usage, "the contract of a load is none");
}

LoadProgress::Phase phase_of(load::LoadProgress::Phase phase) {
  using Phase = load::LoadProgress::Phase;
  switch (phase) {
    case Phase::sample: return LoadProgress::Phase::sample;
    case Phase::stage: return LoadProgress::Phase::stage;
    case Phase::apply: return LoadProgress::Phase::apply;
    case Phase::care: break;
  }
  return LoadProgress::Phase::care;
}

load::HistoryColumns history_of(const std::vector<std::string>& names) {
  load::HistoryColumns history;
  if (names.empty()) return history;
  if (names.size() < 2 || names.size() > 3)
    throw Error(ExitCode::usage, "the columns of a history are two or three",
                "Name them: valid_from, valid_to, is_current");
  history.valid_from = names[0];
  history.valid_to = names[1];
  if (names.size() == 3) history.is_current = names[2];
  return history;
}

load::LoadSpec spec_of(const LoadOptions& options) {
  load::LoadSpec spec;
  spec.mode = mode_of(options.mode);
  spec.key = options.key;
  spec.not_compared = options.not_compared;
  if (options.window)
    spec.window = load::Window{options.window->column, options.window->from, options.window->to};
  spec.history = history_of(options.history_columns);
  spec.history_at = options.history_at;
  spec.partition = options.partition;
  spec.guard = {.max_delete_share = options.max_delete_share,
                .allow_mass_delete = options.allow_mass_delete,
                .allow_empty = options.allow_empty};
  spec.rejects = {.rows = options.max_rejects, .share = options.max_reject_share};
  spec.reject_duplicates = options.reject_duplicates;
  spec.recreate_views = options.recreate_views;
  return spec;
}

std::vector<LoadColumn> columns_of(const std::vector<load::NewColumn>& columns) {
  std::vector<LoadColumn> named;
  named.reserve(columns.size());
  for (const load::NewColumn& column : columns) named.push_back({column.name, column.type.sql});
  return named;
}

std::string lock_name(load::LockMode lock) {
  return lock == load::LockMode::none ? std::string() : std::string(load::to_string(lock));
}

std::map<std::string, std::uint64_t> counts_of(const load::Losses::ByColumn& losses) {
  std::map<std::string, std::uint64_t> counts;
  for (const auto& [column, lost] : losses) counts.emplace(column, lost.values);
  return counts;
}

void take_applied(const load::Applied& applied, LoadResult& result) {
  result.inserted = applied.inserted;
  result.updated = applied.updated;
  result.deleted = applied.deleted;
  result.unchanged = applied.unchanged;
  result.closed = applied.closed;
  result.duplicates = applied.duplicates;
  result.rejected = applied.rejected;
  result.withheld_deletes = applied.withheld_deletes;
  result.rows_before = applied.rows_before;
  result.wal_bytes = applied.wal_bytes;
  result.strongest_lock = lock_name(applied.strongest_lock);
  result.longest_wait = applied.longest_wait;
  result.readers_waited = applied.waiting.readers;
  result.longest_reader_wait = applied.waiting.longest_reader;
  result.others_waited = applied.waiting.others;
  result.longest_other_wait = applied.waiting.longest_other;
  result.dead_rows = applied.dead_rows;
  result.attempts = applied.attempts;
  result.was_in_doubt = applied.was_in_doubt;
  result.apply_took = applied.took;
}

}  // namespace

load::SourceChoice choice_of(const LoadSource& source) {
  if (source.max_record && (*source.max_record == 0 || *source.max_record > kMostOfRecord))
    throw Error(ExitCode::usage, "the limit of a record is more than nothing, and at most 1 GiB");
  load::SourceChoice choice;
  choice.words = source.from;
  choice.command = source.command;
  choice.command_folder = source.command_folder;
  choice.command_env = source.command_env;
  if (source.format) choice.format = format_of(*source.format);
  choice.csv = {.delimiter = source.csv.delimiter,
                .quote = source.csv.quote,
                .backslash = source.csv.backslash,
                .header = source.csv.header,
                .nulls = source.csv.nulls,
                .encoding = source.csv.encoding,
                .comment = source.csv.comment.value_or('\0'),
                .trim = source.csv.trim,
                .max_record = source.max_record};
  choice.table = source.table;
  choice.query = source.query;
  choice.flatten = source.flatten;
  return choice;
}

load::LoadOptions loads_of(const LoadOptions& options) {
  load::LoadOptions chosen;
  chosen.target = options.into;
  chosen.spec = spec_of(options);
  chosen.contract = contract_of(options.contract);
  for (const LoadColumn& column : options.columns) chosen.columns.push_back({column.name, column.type});
  chosen.pipeline = options.pipeline;
  chosen.stream = options.stream;
  chosen.state = options.state;
  chosen.staged = options.staged;
  chosen.sample_rows = options.sample;
  chosen.apply.lock_timeout = std::min(options.lock_timeout, kLongest);
  chosen.apply.target_wait = std::min(options.wait, kLongest);
  chosen.apply.statement_timeout = std::min(options.statement_timeout, kLongest);
  chosen.apply.work_mem = options.work_mem;
  return chosen;
}

LoadProgress progress_of(const load::LoadProgress& progress) {
  return {.phase = phase_of(progress.phase),
          .rows = progress.rows,
          .rejected = progress.rejected,
          .bytes = progress.read.bytes,
          .total = progress.read.total,
          .note = progress.note,
          .notices = progress.notices};
}

LoadPlan plan_of(const load::LoadReport& report) {
  LoadPlan plan{.table = report.target};
  plan.create_sql = report.created_sql;
  plan.columns_added = columns_of(report.drift.added);
  plan.columns_widened = columns_of(report.drift.widened);
  plan.columns_left_out = report.discarded;
  for (const load::Step& step : report.plan.steps) {
    plan.steps.push_back({.phase = std::string(load::to_string(step.phase)),
                          .name = step.name,
                          .relation = step.relation,
                          .lock = lock_name(step.lock),
                          .note = step.note,
                          .sql = step.sql});
  }
  plan.strongest_lock = lock_name(report.plan.strongest(report.target));
  for (const load::Refusal& refusal : report.plan.refusals)
    plan.refusals.push_back({refusal.reason, refusal.remedy});
  plan.warnings = report.plan.warnings;
  plan.notices = report.notices;
  plan.sampled = report.records;
  plan.sample_rejected = report.rejected;
  return plan;
}

LoadResult result_of(const load::LoadReport& report) {
  LoadResult result{.run = report.run, .table = report.target};
  result.created = report.created;
  result.direct = report.direct;
  result.columns_added = columns_of(report.drift.added);
  result.columns_widened = columns_of(report.drift.widened);
  result.columns_left_out = report.discarded;
  result.records = static_cast<std::int64_t>(report.records);
  result.resumed_from = static_cast<std::int64_t>(report.resumed_from);
  result.rejected = static_cast<std::int64_t>(report.rejected);
  if (report.applied) take_applied(*report.applied, result);
  result.discarded_values = counts_of(report.losses.discarded());
  result.rounded_values = counts_of(report.losses.rounded());
  result.took = report.took;
  result.vacuumed = report.care.vacuumed;
  result.analyzed = report.care.analyzed;
  result.not_vacuumed = report.care.skipped;
  result.advice = report.care.advice;
  result.warnings = report.plan.warnings;
  result.notices = report.notices;
  return result;
}

std::shared_ptr<const pg::Connector> load_connector(std::string_view url) {
  return std::make_shared<const pg::Connector>(pg::Conninfo::parse(url),
                                               pg::Connector::Options{.users_search_path = true});
}

void require_loads(const pg::Connector& connector, const std::stop_token& stop) {
  pg::Session session = connector.unprepared().connect(pg::Role::api, "load", {.stop = stop});
  session.set_stop(stop);
  schema::require_schema(session);
}

}  // namespace weir
