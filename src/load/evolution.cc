#include "load/evolution.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "load/value/inference.h"
#include "load/value/names.h"
#include "load/value/widen.h"
#include "load/write/rights.h"

namespace weir::load {
namespace {

/// So many records are looked at before the stage is changed, or as many as the sample has.
constexpr std::size_t kAhead = 1000;
constexpr std::size_t kAheadBytes = std::size_t{4} << 20U;

ColumnType type_of_value(const Cell& cell) {
  ColumnFacts facts;
  facts.observe(cell);
  return type_of(facts.base());
}

}  // namespace

Evolution::Evolution(LoadShape& shape, SampledReader& reader, const LoadOptions& options)
    : shape_(shape), reader_(reader), options_(options) {
  keep_json();
}

void Evolution::adopt(const Stage& stage) {
  for (std::size_t i = 0; i < stage.columns().size(); ++i) {
    const std::string& name = stage.columns()[i];
    const ColumnType& type = stage.types()[i];
    const auto at =
        static_cast<std::size_t>(std::ranges::find(shape_.columns, name) - shape_.columns.begin());
    if (at == shape_.columns.size()) {
      add_column(name, type);
    } else if (!(type == shape_.types[at])) {
      set_type(at, type);
    }
  }
  keep_json();
}

void Evolution::keep_json() {
  for (std::size_t i = 0; i < shape_.matching.columns.size(); ++i) {
    const Placed& placed = shape_.matching.columns[i];
    const TargetColumn* const column = shape_.target.column(placed.name);
    if (placed.fate == Placed::Fate::loaded && column != nullptr &&
        (column->type.base == Base::json || column->type.base == Base::jsonb))
      reader_.keep_json(i);
  }
}

Router Evolution::router(bool numbered) {
  std::vector<bool> inferred(shape_.columns.size(), false);
  for (std::size_t i = 0; i < inferred.size() && may_widen(); ++i)
    inferred[i] = is_inferred(shape_.columns[i], shape_.types[i]);
  return Router({.columns = shape_.matching.columns,
                 .names = shape_.columns,
                 .types = shape_.types,
                 .inferred = std::move(inferred),
                 .key = options_.spec.key,
                 .contract = options_.contract,
                 .text_is_json = reader_.text_is_json(),
                 .losses = &losses_,
                 .numbered = numbered});
}

bool Evolution::helps(Router& router, const Record& record) const {
  if (router.late()) return true;
  if (!router.misfit() || !may_widen()) return false;
  const std::size_t column = *router.misfit();
  const std::span<const Cell> cells = router.arranged(record);
  return column < cells.size() && wider(column, cells[column], shape_.types[column]).has_value();
}

Drift Evolution::mend(Router& router, const Record& record) {
  const bool late = router.late();
  reader_.look_ahead(record, std::min(kAhead, options_.sample_rows), kAheadBytes);
  Drift change = late ? place_late() : widen(router);
  keep_json();
  return change;
}

bool Evolution::may_widen() const { return options_.contract == Contract::evolve && changes_ < kMostChanges; }

bool Evolution::is_inferred(const std::string& column, const ColumnType& type) const {
  return shape_.makes(column) && may_become(shape_, column, type) && type.base != Base::text;
}

bool Evolution::fits(const Cell& cell, const ColumnType& type) const {
  const RowEncoder encoder({type}, {.text_is_json = reader_.text_is_json()});
  std::string unused;
  return !encoder.add({&cell, 1}, {}, unused);
}

/// As the router judges it.
bool Evolution::takes(std::size_t column, const Cell& cell, const ColumnType& type) const {
  return fits(cell, type) && (!is_inferred(shape_.columns[column], type) || is_kept(cell, type.base));
}

/// The type that takes what `now` takes and the value too, where the column may get it.
std::optional<ColumnType> Evolution::wider(std::size_t column, const Cell& cell,
                                           const ColumnType& now) const {
  const std::string& name = shape_.columns[column];
  const TargetColumn* const target = shape_.target.column(name);
  if (target == nullptr || target->type.base == Base::other) return std::nullopt;
  const bool ours = shape_.makes(name);
  const ColumnType text = type_of(Base::text);
  const ColumnType next = ours && changes_ >= kStepwise ? text : widened(now, type_of_value(cell));
  for (const ColumnType& type : {next, text}) {
    if (!(type == now) && may_become(shape_, name, type) && takes(column, cell, type)) return type;
  }
  return std::nullopt;
}

/// All columns that the records at hand do not fit into, at once.
Drift Evolution::widen(Router& router) {
  std::vector<ColumnType> types = shape_.types;
  for (std::size_t n = 0; n < reader_.held(); ++n) {
    const Record& record = reader_.held(n);
    if (!record.malformed.empty()) continue;
    const std::span<const Cell> cells = router.arranged(record);
    for (std::size_t i = 0; i < cells.size(); ++i) {
      if (cells[i].is_null() || takes(i, cells[i], types[i])) continue;
      if (auto type = wider(i, cells[i], types[i])) types[i] = std::move(*type);
    }
  }
  Drift change;
  for (std::size_t i = 0; i < types.size(); ++i) {
    if (types[i] == shape_.types[i]) continue;
    change.widened.push_back({shape_.columns[i], types[i]});
    set_type(i, types[i]);
  }
  ++changes_;
  return change;
}

Drift Evolution::place_late() {
  std::vector<Placed>& places = shape_.matching.columns;
  const std::size_t all = reader_.columns().size();
  places.resize(std::max(places.size(), all), {Placed::Fate::awaited, ""});
  Drift change;
  for (std::size_t i = 0; i < all; ++i) {
    if (places[i].fate != Placed::Fate::awaited) continue;
    ColumnFacts facts;
    for (std::size_t n = 0; n < reader_.held(); ++n) {
      const Record& record = reader_.held(n);
      if (record.malformed.empty() && i < record.cells.size()) facts.observe(record.cells[i]);
    }
    if (facts.values > 0) place(i, type_of(facts.base()), change);
  }
  return change;
}

void Evolution::place(std::size_t at, const ColumnType& type, Drift& change) {
  const std::vector<std::string>& names = reader_.columns();
  std::vector<Placed>& places = shape_.matching.columns;
  // Of the columns up to it alone, so that a load that is resumed calls it the same.
  const std::string legal = column_names(std::span(names).first(at + 1)).back();
  const bool exact = shape_.target.column(legal) != nullptr;
  const Target none{.schema = shape_.target.schema, .name = shape_.target.name};
  const Target& alike = shape_.exists ? shape_.found : none;
  Placed placed = match_late(exact ? shape_.target : alike, legal, options_.contract);
  if (placed.fate != Placed::Fate::loaded) {
    places[at] = std::move(placed);
    return;
  }
  const auto twice = std::ranges::find_if(places, [&](const Placed& other) {
    return other.fate == Placed::Fate::loaded && other.name == placed.name;
  });
  if (twice != places.end())
    refuse_twice(shape_.target, placed.name, names[static_cast<std::size_t>(twice - places.begin())],
                 names[at]);
  if (std::ranges::find(shape_.columns, placed.name) == shape_.columns.end()) {
    const TargetColumn* const present = shape_.target.column(placed.name);
    const ColumnType of_stage = present == nullptr                  ? type
                                : present->type.base == Base::other ? type_of(Base::text)
                                                                    : present->type;
    if (present == nullptr) require_room();
    add_column(placed.name, of_stage);
    change.added.push_back({placed.name, of_stage});
  }
  places[at] = std::move(placed);
}

void Evolution::require_room() const {
  if (shape_.exists && !shape_.found.is_owner) {
    throw MissingRight(fmt::format("{} would have to get other columns, and only its owner {} may change it",
                                   shape_.target.label(), shape_.target.owner),
                       "Load as its owner, or say --schema discard or quarantine.");
  }
  if (shape_.target.columns.size() < kMostColumns && shape_.columns.size() < kMostColumns) return;
  throw Error(ExitCode::definition,
              fmt::format("the records have more keys than {} can have columns", shape_.target.label()),
              "Are the keys values, such as ids? Then load the object that has them as one jsonb column.");
}

/// To the stage, and to the target if that has it not.
void Evolution::add_column(const std::string& name, const ColumnType& type) {
  shape_.columns.push_back(name);
  shape_.types.push_back(type);
  if (shape_.target.column(name) != nullptr) return;
  shape_.target.columns.push_back({.name = name, .type = type});
  (shape_.exists ? shape_.drift.added : shape_.created).push_back({name, type});
}

void Evolution::set_type(std::size_t column, const ColumnType& type) {
  const std::string& name = shape_.columns[column];
  shape_.types[column] = type;
  for (TargetColumn& target : shape_.target.columns) {
    if (target.name == name) target.type = type;
  }
  const bool ours = shape_.makes(name);
  std::vector<NewColumn>& list = !shape_.exists ? shape_.created
                                 : ours         ? shape_.drift.added
                                                : shape_.drift.widened;
  const auto at = std::ranges::find(list, name, &NewColumn::name);
  if (at != list.end()) {
    at->type = type;
  } else {
    list.push_back({name, type});
  }
}

}  // namespace weir::load
