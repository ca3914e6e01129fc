#include "load/shape.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "load/said_types.h"
#include "load/value/inference.h"
#include "load/value/names.h"
#include "load/value/row_encoder.h"
#include "load/value/widen.h"
#include "load/write/patience.h"
#include "load/write/rights.h"
#include "load/write/stage_sql.h"
#include "pg/error.h"
#include "pg/identifier.h"
#include "pg/session.h"
#include "schema/queries/load_targets.h"

namespace weir::load {
namespace {

std::string list_of(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + printable(name);
  return list;
}

Inference infer(const SampledReader& reader) {
  Inference inference(reader.columns().size());
  for (std::size_t i = 0; i < reader.sampled(); ++i) {
    if (reader.sample(i).malformed.empty()) inference.observe(reader.sample(i).cells);
  }
  return inference;
}

bool all_fit(const SampledReader& reader, std::size_t column, const ColumnType& type) {
  const RowEncoder encoder({type}, {.text_is_json = reader.text_is_json()});
  std::string unused;
  for (std::size_t i = 0; i < reader.sampled(); ++i) {
    const Record& record = reader.sample(i);
    if (!record.malformed.empty() || column >= record.cells.size()) continue;
    unused.clear();
    if (encoder.add(record.cells.subspan(column, 1), {}, unused)) return false;
  }
  return true;
}

/// A type that every server has by the same number and name.
bool is_everywhere(const ColumnType& type) {
  constexpr pg::Oid kFirstMade = 10000;
  return type.base != Base::other || type.oid < kFirstMade;
}

/// What was said, else what the source says if its values keep to it, else what is inferred.
std::vector<ColumnType> types_of(pg::Session& session, const SampledReader& reader,
                                 const Inference& inference, const LoadOptions& options) {
  const std::vector<std::string>& names = reader.columns();
  std::vector<ColumnType> types = inference.types();
  types.resize(names.size(), type_of(Base::text));
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto hint = reader.hint(i);
    if (hint && is_everywhere(*hint) && all_fit(reader, i, *hint)) types[i] = *hint;
  }
  const std::vector<ColumnType> said = resolve_types(session, options.columns);
  for (std::size_t i = 0; i < said.size(); ++i) {
    const auto found = std::ranges::find(names, options.columns[i].name);
    if (found == names.end()) {
      throw Error(
          ExitCode::definition,
          fmt::format("--columns names {}, which the source has not", printable(options.columns[i].name)),
          "Its columns are: " + list_of(names) + ".");
    }
    types[static_cast<std::size_t>(found - names.begin())] = said[i];
  }
  return types;
}

void require_key(const LoadOptions& options, const std::vector<std::string>& names) {
  for (const std::string& column : options.spec.key) {
    if (std::ranges::find(names, column) != names.end()) continue;
    throw Error(ExitCode::definition,
                fmt::format("the key column {} is not in the source", printable(column)),
                "Its columns are: " + list_of(names) + ".");
  }
}

/// Columns of the target that do not hold what the sample has, and may be made wider.
std::vector<NewColumn> find_wider(const LoadShape& shape, const SampledReader& reader,
                                  const Inference& inference) {
  const Target& target = shape.found;
  const Matching& matching = shape.matching;
  std::vector<NewColumn> wider;
  for (std::size_t i = 0; i < matching.columns.size() && i < inference.columns().size(); ++i) {
    const TargetColumn* column = target.column(matching.columns[i].name);
    if (matching.columns[i].fate != Placed::Fate::loaded || column == nullptr ||
        column->type.base == Base::other || all_fit(reader, i, column->type))
      continue;
    const ColumnType type = widened(column->type, type_of(inference.columns()[i].base()));
    if (type == column->type || !may_become(shape, column->name, type)) continue;
    wider.push_back({column->name, type, column->not_null});
  }
  return wider;
}

/// Where a new table will be. Before anything is read for it: to be told afterwards is too late.
std::string home_of(pg::Session& session, const TableName& name) {
  const auto answer = session.run<sql::LoadHome>(name.schema);
  const auto home = answer.one();
  if (!home.name) {
    throw Error(ExitCode::definition,
                name.schema.empty() ? "the search_path has no schema in which a table could be made"
                                    : fmt::format("there is no schema {}", printable(name.schema)),
                "CREATE SCHEMA .., or say another: --into SCHEMA.TABLE.");
  }
  if (!home.may_create.value_or(false)) {
    throw MissingRight(fmt::format("this user may not make a table in schema {}", printable(*home.name)),
                       fmt::format("GRANT CREATE ON SCHEMA {} TO ..; or make the table first.",
                                   pg::quote_identifier(*home.name)));
  }
  return std::string(*home.name);
}

/// Before anything is made: the stage has two columns of its own.
void require_room(const LoadShape& shape) {
  const std::size_t most = std::max(shape.columns.size(), shape.target.columns.size());
  if (most > kMostColumns) {
    throw Error(
        ExitCode::definition,
        fmt::format(
            "{} would have {} columns, and {} is the most that a table of PostgreSQL can be loaded with",
            shape.target.label(), most, kMostColumns),
        "Is the delimiter right (--delimiter)? Else leave columns out, or load the record as one jsonb "
        "column.");
  }
}

/// Of each key a version for each time from which on it held.
void add_history(LoadShape& shape, const HistoryColumns& history) {
  const ColumnType time = type_of(Base::timestamptz);
  for (const NewColumn& column :
       {NewColumn{history.valid_from, time, true}, NewColumn{history.valid_to, time, false},
        NewColumn{history.is_current, type_of(Base::boolean), true}}) {
    // What the source gives itself, the plan refuses.
    if (std::ranges::find(shape.created, column.name, &NewColumn::name) == shape.created.end())
      shape.created.push_back(column);
  }
  shape.created_key.push_back(history.valid_from);
}

LoadShape shape_of_new(const LoadOptions& options, TableName name, const std::vector<std::string>& names,
                       const std::vector<ColumnType>& types) {
  LoadShape shape{.name = std::move(name)};
  const std::vector<std::string> legal = column_names(names);
  require_key(options, legal);
  for (std::size_t i = 0; i < legal.size(); ++i) {
    const bool in_key = std::ranges::find(options.spec.key, legal[i]) != options.spec.key.end();
    shape.created.push_back({legal[i], types[i], in_key});
    shape.matching.columns.push_back({.name = legal[i]});
  }
  shape.created_key = options.spec.key;
  if (options.spec.mode == Mode::scd2) add_history(shape, options.spec.history);
  shape.target = new_target(shape.name, shape.created, shape.created_key);
  return shape;
}

LoadShape shape_of_present(const LoadOptions& options, Target target, const SampledReader& reader,
                           const Inference& inference, const std::vector<ColumnType>& types) {
  LoadShape shape{.exists = true, .found = std::move(target)};
  const Target& found = shape.found;
  shape.name = {.schema = found.schema, .name = found.name};
  shape.matching = match_columns(found, reader.columns(), types, options.contract);
  shape.drift.added = shape.matching.added;
  if (options.contract == Contract::evolve) shape.drift.widened = find_wider(shape, reader, inference);
  if (!shape.drift.none() && !found.is_owner) {
    throw MissingRight(fmt::format("{} would have to get other columns, and only its owner {} may change it",
                                   found.label(), found.owner),
                       "Load as its owner, or say --schema discard or quarantine. It would be: " +
                           evolve_sql(found, shape.drift) + ";");
  }
  shape.target = with_drift(found, shape.drift);
  return shape;
}

/// Of the columns that are to be added those that are not there yet, of those that are to be wider those that
/// somebody else has not made so.
Drift remaining(const Target& now, const Drift& drift) {
  Drift rest;
  for (const NewColumn& column : drift.added) {
    if (now.column(column.name) == nullptr) rest.added.push_back(column);
  }
  for (const NewColumn& column : drift.widened) {
    const TargetColumn* const present = now.column(column.name);
    if (present != nullptr && !can_hold(present->type, column.type)) rest.widened.push_back(column);
  }
  return rest;
}

[[noreturn]] void refuse_another(const std::string& label) {
  throw Error(ExitCode::refused, fmt::format("{} is another table now than when the load began", label),
              "It was replaced or changed meanwhile; nothing was written. Run the load again.");
}

/// Every column of the stage goes into the target as it is.
void require_fit(const Target& target, const LoadShape& shape) {
  for (const std::string& name : shape.columns) {
    if (target.column(name) == nullptr) refuse_another(target.label());
  }
  const std::vector<ColumnType> types = stage_types(target, shape.columns);
  for (std::size_t i = 0; i < types.size(); ++i) {
    if (!can_hold(types[i], shape.types[i])) refuse_another(target.label());
  }
}

Target describe_again(pg::Session& session, const LoadShape& shape) {
  auto target = describe_target(session, shape.name.sql(), shape.partition);
  if (!target) {
    throw Error(ExitCode::database, fmt::format("{} was dropped meanwhile", shape.target.label()),
                "Run the load again.");
  }
  return std::move(*target);
}

/// Tables that others look after.
void refuse_system(const std::string& schema) {
  constexpr std::array<std::string_view, 5> kNobodys{"weir", "weir_stage", "pg_catalog", "pg_toast",
                                                     "information_schema"};
  if (std::ranges::find(kNobodys, schema) == kNobodys.end()) return;
  throw Error(ExitCode::refused, fmt::format("no table of schema {} can be loaded into", printable(schema)),
              "Its tables are kept by PostgreSQL, or by Weir itself. Say another: --into SCHEMA.TABLE.");
}

/// Not one record told a column.
[[noreturn]] void refuse_empty(const SampledReader& reader, const LoadOptions& options) {
  for (std::size_t i = 0; i < reader.sampled(); ++i) {
    const Record& record = reader.sample(i);
    if (record.malformed.empty()) continue;
    throw Error(
        ExitCode::refused,
        fmt::format("{} has no record that tells its columns; the first is in {}line {}{}: {}",
                    printable(options.source),
                    record.file == options.source || record.file.empty() ? "" : printable(record.file) + ", ",
                    record.line,
                    record.malformed_column == 0 ? "" : fmt::format(", at {}", record.malformed_column),
                    printable(record.malformed)),
        "Look whether it is the right one; nothing was touched.");
  }
  throw Error(ExitCode::refused, fmt::format("{} holds nothing, not even columns", printable(options.source)),
              "Look whether it is the right one; nothing was touched.");
}

bool is_of_a_value(std::string_view sqlstate) {
  return sqlstate.starts_with("22") || sqlstate.starts_with("23");
}

/// A bound that the column cannot be compared with is told before anything is read for it.
void require_value(pg::Session& session, const std::string& option, const std::string& value,
                   const ColumnType& type) {
  try {
    session.execute(fmt::format("SELECT {}::{}", pg::quote_literal(value), type.sql));
  } catch (const pg::Error& error) {
    if (error.kind() != pg::ErrorKind::server || !is_of_a_value(error.sqlstate())) throw;
    throw Error(ExitCode::usage,
                fmt::format("{}: '{}' is no {}", option, printable(value), printable(type.sql)),
                fmt::format("The server says: {}.", printable(error.info().message)));
  }
}

void require_bounds(pg::Session& session, const Target& target, const LoadSpec& spec) {
  if (spec.window) {
    const TargetColumn* const by = target.column(spec.window->column);
    for (const std::string& bound : {spec.window->from, spec.window->to}) {
      if (by != nullptr) require_value(session, "the window of " + printable(by->name), bound, by->type);
    }
  }
  if (!spec.history_at.empty()) {
    const TargetColumn* const from = target.column(spec.history.valid_from);
    require_value(session, "--at", spec.history_at,
                  from == nullptr ? type_of(Base::timestamptz) : from->type);
  }
}

}  // namespace

bool LoadShape::makes(std::string_view column) const {
  return !exists || std::ranges::find(drift.added, column, &NewColumn::name) != drift.added.end();
}

bool may_become(const LoadShape& shape, const std::string& column, const ColumnType& type) {
  if (shape.makes(column)) return std::ranges::find(shape.said, column) == shape.said.end();
  const TargetColumn* const present = shape.found.column(column);
  if (present == nullptr || present->pinned || !shape.found.is_owner) return false;
  const ColumnType& from = present->type;
  // One bad value among timestamps makes no texts of them all: only what is text already becomes a longer
  // one.
  if (type.base == Base::text && from.base != Base::varchar && from.base != Base::bpchar) return false;
  return !rewrites(from, type) || shape.found.bytes <= kMostRewritten;
}

LoadShape find_shape(pg::Session& session, const SampledReader& reader, const LoadOptions& options) {
  const std::vector<std::string>& names = reader.columns();
  if (names.empty()) refuse_empty(reader, options);
  const Inference inference = infer(reader);
  const std::vector<ColumnType> types = types_of(session, reader, inference, options);
  TableName name = parse_table_name(options.target);
  LoadShape shape;
  auto target = describe_target(session, options.target, options.spec.partition);
  refuse_system(target ? target->schema : name.schema);
  if (target) {
    shape = shape_of_present(options, std::move(*target), reader, inference, types);
  } else {
    name.schema = home_of(session, name);
    shape = shape_of_new(options, std::move(name), names, types);
  }
  shape.partition = options.spec.partition;
  for (const Placed& column : shape.matching.columns) {
    if (column.fate == Placed::Fate::loaded) shape.columns.push_back(column.name);
  }
  require_room(shape);
  require_key(options, shape.columns);
  require_bounds(session, shape.target, options.spec);
  shape.types = stage_types(shape.target, shape.columns);
  for (const SaidColumn& said : options.columns) {
    const auto at = std::ranges::find(names, said.name) - names.begin();
    shape.said.push_back(shape.matching.columns[static_cast<std::size_t>(at)].name);
  }
  return shape;
}

bool prepare_target(pg::Session& session, LoadShape& shape) {
  if (shape.exists && shape.drift.none()) return false;  // whether it is still the same, apply() looks
  if (!shape.exists) {
    const bool made = create_table(session, shape.name, shape.created, shape.created_key);
    shape.target = describe_again(session, shape);
    require_fit(shape.target, shape);
    return made;
  }
  const Target now = describe_again(session, shape);
  if (now.oid != shape.found.oid) refuse_moved(now);
  const Drift rest = remaining(now, shape.drift);
  // Nothing is changed for a load that could not be written afterwards.
  require_fit(with_drift(now, rest), shape);
  if (!rest.none()) shape.altered = evolve(session, now, rest);
  shape.target = describe_again(session, shape);
  require_fit(shape.target, shape);
  return false;
}

bool look_again(pg::Session& session, LoadShape& shape) {
  auto now = describe_target(session, shape.name.sql(), shape.partition);
  if (!now || now->oid == shape.target.oid) return false;
  const Drift rest = remaining(*now, shape.drift);
  if (!rest.none() && !now->is_owner) refuse_another(now->label());
  require_fit(with_drift(*now, rest), shape);
  shape.exists = true;
  shape.altered.reset();  // what was done to the other table has gone with it
  shape.drift = rest;
  shape.target = with_drift(*now, rest);
  shape.found = std::move(*now);
  return true;
}

}  // namespace weir::load
