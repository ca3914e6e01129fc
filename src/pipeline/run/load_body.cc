#include <fmt/format.h>

#include "base/text.h"
#include "load/load.h"
#include "load/write/state.h"
#include "pg/error.h"
#include "pg/identifier.h"
#include "pg/make_if_missing.h"
#include "pipeline/run/running_task.h"
#include "pipeline/task/template.h"
#include "pipeline/time/preview.h"

namespace weir::pipeline {
namespace {

constexpr Duration kAfterAnother = std::chrono::milliseconds(100);

void tell(RunningTask& running, const std::string& target, const load::LoadReport& report) {
  if (!report.applied) return;
  const load::Applied& applied = *report.applied;
  running.log.say(fmt::format(
      "{}: {} records read; {} inserted, {} updated, {} deleted, {} unchanged, {} rejected, in {}", target,
      human_count(static_cast<std::int64_t>(report.records)), human_count(applied.inserted),
      human_count(applied.updated), human_count(applied.deleted), human_count(applied.unchanged),
      human_count(static_cast<std::int64_t>(report.rejected)), human_duration(report.took)));
}

/// Loads, and ends the task in the transaction that writes the target, after `check`.
work::Outcome load_and_finish(RunningTask& running, LoadOrder order,
                              const std::function<void(pg::Session&)>& check) {
  std::vector<TaskNews> news;
  order.options.apply.before_commit = [&](pg::Session& session) {
    if (check) check(session);
    news = finish_in_transaction(session, running.attempt);
  };
  order.options.pipeline = running.pipeline.name;
  // Each task, and each of its pieces, has a state of its own: beside each other they would refuse one
  // another.
  if (order.options.stream.empty()) {
    const std::int32_t item = running.attempt.key.item;
    order.options.stream = item < 0 ? running.task.name : fmt::format("{}/{}", running.task.name, item);
  }
  load::OpenedSource source = load::open_source(order.source, running.stop);
  order.options.source = source.label;
  order.options.reopen = source.reopen;
  order.options.fingerprint = source.fingerprint;
  const std::string target = order.options.target;
  load::Load load(running.at.connector, std::move(source.reader), std::move(order.options));
  try {
    const load::LoadReport report = load.run(running.stop);
    tell(running, target, report);
  } catch (const load::StateMoved& error) {
    // The same task of another run was faster. That is no failure, and cannot go on for ever: one of them
    // wins.
    running.log.say(error.what());
    return work::Outcome::snoozed(kAfterAnother);
  }
  return written(running, std::move(news));
}

/// A query on Weir's database that knows its run.
load::SourceChoice query_source(const RunningTask& running, const std::string& query) {
  const TaskContext& context = running.context;
  load::SourceChoice choice;
  choice.words = {running.at.connector->conninfo().url()};
  choice.format = load::Format::postgres;
  choice.query = query;
  choice.settings = {{"weir.params", context.params},
                     {"weir.run_id", std::to_string(context.run)},
                     {"weir.item", context.item.value_or("")},
                     {"weir.logical_time", utc_text(context.logical_time)},
                     {"weir.interval_start", utc_text(context.interval.from)},
                     {"weir.interval_end", utc_text(context.interval.to)}};
  return choice;
}

void check_model(RunningTask& running, pg::Session& session, const ModelBody& body) {
  for (const Check& check : body.checks) {
    const pg::Result result = session.execute(check.sql);
    const bool good = result.rows() > 0 && result[0].get<std::optional<bool>>(0).value_or(false);
    if (good) continue;
    const std::string what = fmt::format("{}: check {} does not hold", body.relation, check.name);
    if (check.blocking) throw Error(ExitCode::failed, what, "Nothing was written: the table is as it was.");
    running.log.say(what + " (not blocking)");
  }
}

/// That of a model is named by its folder: who adds a folder means the schema.
void make_schema(RunningTask& running, const std::string& relation) {
  const auto parts =
      running.session.execute("SELECT pg_catalog.parse_ident($1)", relation)[0].get<std::vector<std::string>>(
          0);
  if (parts.size() != 2) return;
  const auto known =
      running.session.execute("SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1", parts[0]);
  if (known.rows() == 0)
    pg::make_if_missing(running.session, "CREATE SCHEMA IF NOT EXISTS " + pg::quote_identifier(parts[0]));
}

work::Outcome make_view(RunningTask& running, const ModelBody& body) {
  SqlBody sql{.text = fmt::format("CREATE OR REPLACE VIEW {} AS\n{}", body.relation, body.select),
              .file = body.file};
  return run_sql_body(running, sql);
}

}  // namespace

work::Outcome run_load_body(RunningTask& running, const LoadBody& body) {
  LoadBody bound = body;
  const auto bind = [&](std::string& text) {
    text = bind_template(text, TemplateUse::argument, running.context, running.at.project);
  };
  bind(bound.source);
  bind(bound.folder);
  for (std::string& word : bound.command) bind(word);
  for (auto& [option, value] : bound.options) bind(value);
  for (auto& [name, value] : bound.env)
    value = bind_template(value, TemplateUse::value, running.context, running.at.project);
  if (!bound.source.empty() && running.at.connections.contains(bound.source)) {
    bound.source = bind_template(running.at.connections.at(bound.source), TemplateUse::value, running.context,
                                 running.at.project);
  }
  return load_and_finish(running, running.at.read_load(bound), {});
}

work::Outcome run_model_body(RunningTask& running, const ModelBody& body) {
  make_schema(running, body.relation);
  if (body.kind == ModelBody::Kind::view) return make_view(running, body);
  LoadOrder order;
  order.source = query_source(running, body.select);
  order.options.target = body.relation;
  load::LoadSpec& spec = order.options.spec;
  spec.mode = load::parse_mode(body.strategy).value_or(load::Mode::refresh);
  spec.key = body.key;
  if (spec.mode == load::Mode::window) {
    spec.window = load::Window{body.window_column, utc_text(running.context.interval.from),
                               utc_text(running.context.interval.to)};
  }
  // What is made anew from other tables may come out empty; its checks say what it must not be.
  spec.guard = {.allow_mass_delete = true, .allow_empty = true};
  return load_and_finish(running, std::move(order),
                         [&](pg::Session& session) { check_model(running, session, body); });
}

}  // namespace weir::pipeline
