#pragma once

#include "load/value/column_type.h"

namespace weir::load {

/// The smallest type that holds what both hold; text at the latest. Commutative, associative, idempotent.
///
/// Nothing is lost on the way: int8 with float8 gives numeric (the server's cast from float8 to numeric keeps
/// 15 digits only: go by text), a timestamp without a zone with one that has it gives text, for nobody knows
/// which zone was meant. float8 with numeric(p,s) loses p and s.
ColumnType widened(const ColumnType& a, const ColumnType& b);

/// Whether each value of `source` goes into `target` as it is. json and jsonb hold each other.
bool can_hold(const ColumnType& target, const ColumnType& source);

}  // namespace weir::load
