#include <fmt/format.h>

#include "load/write/spec.h"
#include "pg/error.h"
#include "pg/identifier.h"
#include "pg/make_if_missing.h"
#include "pipeline/run/load_and_finish.h"
#include "pipeline/run/model_view.h"
#include "pipeline/time/preview.h"

namespace weir::pipeline {
namespace {

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
    if (holds(running, session, check.sql)) continue;
    const std::string what = fmt::format("{}: check {} does not hold", body.relation, check.name);
    if (check.blocking) {
      throw Error(ExitCode::failed, what,
                  fmt::format("Nothing was written: the {} is as it was.",
                              body.kind == ModelBody::Kind::view ? "view" : "table"));
    }
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

load::LoadSpec spec_of(const RunningTask& running, const ModelBody& body) {
  load::LoadSpec spec;
  spec.mode = load::parse_mode(body.strategy).value_or(load::Mode::refresh);
  spec.key = body.key;
  // Which of two rows counts nobody has said: they are a fault of the SELECT.
  spec.reject_duplicates = !body.key.empty();
  if (spec.mode == load::Mode::window) {
    spec.window = load::Window{body.window_column, utc_text(running.context.interval.from),
                               utc_text(running.context.interval.to)};
  }
  // What is made anew from other tables may come out empty; its checks say what it must not be.
  spec.guard = {.allow_mass_delete = true, .allow_empty = true};
  return spec;
}

}  // namespace

work::Outcome run_model_body(RunningTask& running, const ModelBody& body) {
  make_schema(running, body.relation);
  if (body.kind == ModelBody::Kind::view) {
    return change_and_finish(running, [&](pg::Session& session) {
      make_view(running, session, body);
      check_model(running, session, body);
    });
  }
  LoadOrder order;
  order.source = query_source(running, body.select);
  order.options.target = body.relation;
  order.options.spec = spec_of(running, body);
  try {
    return load_and_finish(running, std::move(order),
                           [&](pg::Session& session) { check_model(running, session, body); });
  } catch (const Error& error) {
    // What it says of options is for those who have some.
    if (error.remedy().find("--max-rejects") == std::string::npos) throw;
    throw Error(error.exit_code(), error.what(),
                "Nothing was written: the table is as it was. Mend the SELECT: it has to give what the table "
                "takes, and "
                "one row for each key.");
  }
}

}  // namespace weir::pipeline
