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

namespace weir::load {
namespace {

/// A table of more is not written anew in passing.
constexpr std::int64_t kMostRewritten = std::int64_t{64} << 20U;

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

/// The inferred types, with what was said in their place.
std::vector<ColumnType> types_of(pg::Session& session, const Inference& inference,
                                 const std::vector<std::string>& names, const LoadOptions& options) {
  std::vector<ColumnType> types = inference.types();
  types.resize(names.size(), type_of(Base::text));
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

bool all_fit(const SampledReader& reader, std::size_t column, const ColumnType& type) {
  const RowEncoder encoder({type});
  std::string unused;
  for (std::size_t i = 0; i < reader.sampled(); ++i) {
    const Record& record = reader.sample(i);
    if (!record.malformed.empty() || column >= record.cells.size()) continue;
    unused.clear();
    if (encoder.add(record.cells.subspan(column, 1), {}, unused)) return false;
  }
  return true;
}

/// One bad value among timestamps makes no texts of them all: only what is text already becomes a longer one.
bool may_become(const ColumnType& from, const ColumnType& to) {
  return to.base != Base::text || from.base == Base::varchar || from.base == Base::bpchar;
}

/// Columns of the target that do not hold what the sample has, and may be made wider.
std::vector<NewColumn> find_wider(const Target& target, const Matching& matching, const SampledReader& reader,
                                  const Inference& inference) {
  std::vector<NewColumn> wider;
  for (std::size_t i = 0; i < matching.columns.size() && i < inference.columns().size(); ++i) {
    const TargetColumn* column = target.column(matching.columns[i].name);
    if (matching.columns[i].fate != Placed::Fate::loaded || column == nullptr ||
        column->type.base == Base::other || all_fit(reader, i, column->type))
      continue;
    const ColumnType type = widened(column->type, type_of(inference.columns()[i].base()));
    if (type == column->type || !may_become(column->type, type) ||
        (rewrites(column->type, type) && target.bytes > kMostRewritten))
      continue;
    wider.push_back({column->name, type, column->not_null});
  }
  return wider;
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
  shape.target = new_target(shape.name, shape.created, options.spec.key);
  return shape;
}

}  // namespace

LoadShape find_shape(pg::Session& session, const SampledReader& reader, const LoadOptions& options) {
  const std::vector<std::string>& names = reader.columns();
  if (names.empty()) {
    throw Error(ExitCode::refused,
                fmt::format("{} holds nothing, not even columns", printable(options.source)),
                "Look whether it is the right one; nothing was touched.");
  }
  const Inference inference = infer(reader);
  const std::vector<ColumnType> types = types_of(session, inference, names, options);
  const TableName name = parse_table_name(options.target);
  auto target = describe_target(session, options.target);
  LoadShape shape;
  if (!target) {
    shape = shape_of_new(options, name, names, types);
  } else {
    shape.name = name;
    shape.exists = true;
    shape.matching = match_columns(*target, names, types, options.contract);
    shape.drift.added = shape.matching.added;
    if (options.contract == Contract::evolve)
      shape.drift.widened = find_wider(*target, shape.matching, reader, inference);
    shape.target = with_drift(std::move(*target), shape.drift);
  }
  for (const Placed& column : shape.matching.columns) {
    if (column.fate == Placed::Fate::loaded) shape.columns.push_back(column.name);
  }
  require_key(options, shape.columns);
  return shape;
}

void prepare_target(pg::Session& session, LoadShape& shape, const LoadOptions& options) {
  if (!shape.exists) {
    create_table(session, shape.name, shape.created, options.spec.key);
  } else if (!shape.drift.none()) {
    evolve(session, shape.target, shape.drift);
  } else {
    return;
  }
  auto target = describe_target(session, options.target);
  if (!target) {
    throw Error(ExitCode::database, fmt::format("{} was dropped meanwhile", printable(options.target)),
                "Run the load again.");
  }
  shape.target = std::move(*target);
}

}  // namespace weir::load
