#include "load/singer_target.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "load/matching.h"
#include "load/shape.h"
#include "load/value/names.h"
#include "load/value/row_encoder.h"
#include "load/value/widen.h"
#include "load/write/schema_change.h"

namespace weir::load {
namespace {

std::size_t place_of(const std::vector<std::string>& names, const std::string& name) {
  return static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
}

std::vector<ColumnType> types_of(const std::vector<std::string>& names,
                                 const std::vector<SingerColumn>& columns) {
  std::vector<ColumnType> types;
  for (const std::string& name : names) {
    const auto found =
        std::find_if(columns.begin(), columns.end(), [&](const auto& c) { return c.name == name; });
    types.push_back(found == columns.end() ? type_of(Base::timestamptz) : found->type);
  }
  return types;
}

struct Wider {
  std::size_t place;  // in the spool
  NewColumn column;
  RowEncoder now;
  bool is_needed = false;
};

/// Columns whose type the tap says is wider than the table's.
std::vector<Wider> wider_columns(const Target& target, const Matching& matching,
                                 const std::vector<ColumnType>& types) {
  std::vector<Wider> all;
  for (std::size_t i = 0; i < types.size(); ++i) {
    const TargetColumn* column = target.column(matching.columns[i].name);
    if (column == nullptr || column->type.base == Base::other || can_hold(column->type, types[i])) continue;
    const ColumnType type = widened(column->type, types[i]);
    if (rewrites(column->type, type) && target.bytes > kMostRewritten) continue;
    all.push_back({i, {column->name, type, column->not_null}, RowEncoder({column->type})});
  }
  return all;
}

/// Those that a value needs.
Drift needed(RecordSpool& spool, std::vector<Wider> wider) {
  Drift drift;
  std::string unused;
  const auto reader = spool.read();
  for (auto record = reader->next(); record; record = reader->next()) {
    for (Wider& each : wider) {
      if (each.is_needed || !record->malformed.empty()) continue;
      unused.clear();
      each.is_needed = each.now.add(record->cells.subspan(each.place, 1), {}, unused).has_value();
    }
  }
  for (Wider& each : wider) {
    if (each.is_needed) drift.widened.push_back(std::move(each.column));
  }
  return drift;
}

}  // namespace

void fit_to_target(pg::Session& session, RecordSpool& spool, const std::vector<SingerColumn>& columns,
                   const std::vector<std::string>& keys, LoadOptions& options) {
  const std::string deleted_at(kDeletedAt);
  const auto target = describe_target(session, options.target);
  // A row that comes back is no longer deleted, also where the tap does not speak of that.
  if (!options.spec.deleted_at.empty() || (target && target->column(deleted_at) != nullptr))
    spool.use_also(deleted_at);

  const std::vector<std::string>& names = spool.columns();
  const std::vector<ColumnType> types = types_of(names, columns);
  std::vector<std::string> own = column_names(names);
  if (target) {
    const Matching matching = match_columns(*target, names, types, options.contract);
    for (std::size_t i = 0; i < names.size(); ++i) own[i] = matching.columns[i].name;
    if (options.contract == Contract::evolve) {
      std::vector<Wider> wider = wider_columns(*target, matching, types);
      if (!wider.empty()) evolve(session, *target, needed(spool, std::move(wider)));
    }
  }
  options.spec.key.clear();
  for (const std::string& key : keys) options.spec.key.push_back(own[place_of(names, key)]);
  options.columns.clear();
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!target || target->column(own[i]) == nullptr) options.columns.push_back({names[i], types[i].sql});
  }
}

}  // namespace weir::load
