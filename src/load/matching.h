#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "load/value/column_type.h"
#include "load/value/inference.h"
#include "load/write/schema_change.h"
#include "load/write/target.h"

namespace weir::load {

/// What happens to a column or a value that the target's columns do not hold.
enum class Contract : std::uint8_t {
  evolve,      ///< the target gets the column, or the wider type
  freeze,      ///< the load is refused before it writes anything
  discard,     ///< the column or the value is left out: null
  quarantine,  ///< the record is rejected
};

/// "amount:numeric(12,2)": a type that the user says instead of what is inferred.
struct SaidColumn {
  std::string name;
  std::string type;
};

/// Where a column of the source goes.
struct Placed {
  enum class Fate : std::uint8_t {
    loaded,
    discarded,
    quarantined,  ///< a record with a value there is rejected
    awaited,      ///< of a column behind the sample that had no value yet
  };
  Fate fate = Fate::loaded;
  std::string name;  ///< in the target, or that it would have
};

/// Each column of the source beside those of the target. Pure.
struct Matching {
  std::vector<Placed> columns;   ///< in the order of the source
  std::vector<NewColumn> added;  ///< that the target has to get first

  [[nodiscard]] std::vector<std::string> discarded() const;
};

/// A name of the source is the column of that name, else the only one that differs in case or in its blanks,
/// dots and dashes alone ("Order ID", order_id). `types` are those inferred, for columns that are added.
/// Throws (definition) for a column that the server computes, two columns for one of the target, and with
/// `freeze` for one it has not.
Matching match_columns(const Target& target, std::span<const std::string> names,
                       std::span<const ColumnType> types, Contract contract);

/// A column that comes behind the sample; `name` as it is legal. Fate `loaded` with the name of a column that
/// the target has not: it is to be added. Throws as match_columns().
Placed match_late(const Target& target, const std::string& name, Contract contract);
/// Throws definition: two columns of the source for one of the target.
[[noreturn]] void refuse_twice(const Target& target, const std::string& name, const std::string& one,
                               const std::string& other);

/// A target that is to be made: with the columns of the source, as described after its creation.
Target new_target(const TableName& table, const std::vector<NewColumn>& columns,
                  const std::vector<std::string>& key);
/// `target` as it will be.
Target with_drift(Target target, const Drift& drift);

}  // namespace weir::load
