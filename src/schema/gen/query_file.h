#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "schema/gen/sql_type.h"

namespace weir::sqlgen {

struct Field {
  std::string name;
  SqlType type;
};

/// One statement of a query file, ready to be written as C++.
struct QueryDefinition {
  std::string name;               ///< snake_case
  std::vector<std::string> doc;   ///< the comment lines below the header
  std::vector<Field> parameters;  ///< $1, $2, .. in this order
  std::vector<Field> columns;
  std::string sql;  ///< comments taken out, :name replaced by $n
  std::size_t line = 0;

  /// LockRows for lock_rows.
  [[nodiscard]] std::string struct_name() const;
};

/// Parses the statements of a file. Throws SyntaxError for the first thing that is wrong.
///
///     -- name: lock_rows(lane int2, keys int8[]) -> (id int8, payload jsonb?)
///     -- Why and contract, for the reader of the C++.
///     SELECT id, payload FROM .. WHERE lane = :lane AND id = ANY (:keys);
///
/// A header may go on over several comment lines until its brackets are closed.
std::vector<QueryDefinition> parse_queries(std::string_view text);

/// Lower-case words of letters and digits, joined by single underscores.
bool is_snake_case(std::string_view name) noexcept;

}  // namespace weir::sqlgen
