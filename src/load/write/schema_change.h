#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "load/write/target.h"
#include "load/write/waiting.h"

namespace weir::pg {
class Session;
}

namespace weir::load {

struct NewColumn {
  std::string name;
  ColumnType type;
  bool not_null = false;
};

/// CREATE TABLE with its key and the settings of a table that is rewritten in place; pure.
std::string create_table_sql(const TableName& table, const std::vector<NewColumn>& columns,
                             const std::vector<std::string>& key);
/// Makes it. False if it came to be meanwhile: describe_target() tells what it is.
bool create_table(pg::Session& session, const TableName& table, const std::vector<NewColumn>& columns,
                  const std::vector<std::string>& key);

/// What the source has and the target has not.
struct Drift {
  std::vector<NewColumn> added;
  std::vector<NewColumn> widened;  ///< with the wider type
  [[nodiscard]] bool none() const noexcept { return added.empty() && widened.empty(); }
};
/// One ALTER TABLE; pure. Widening rewrites the table under ACCESS EXCLUSIVE unless rewrites() is false.
std::string evolve_sql(const Target& target, const Drift& drift);
/// "ALTER COLUMN .. TYPE ..", so that every value is the same as before; pure. What PostgreSQL's own cast
/// would change goes by its text: float8 > numeric keeps 15 digits, 0.1::real::float8 is 0.10000000149.
std::string change_type_sql(const std::string& name, const ColumnType& from, const ColumnType& to);
/// Whether the server would write the whole table anew (int4 > int8), or only its catalogue (varchar > text).
bool rewrites(const ColumnType& from, const ColumnType& to) noexcept;

struct DdlOptions {
  Duration lock_timeout = std::chrono::milliseconds(100);
  int attempts = 100;
};
/// Takes back create_table() of a load that came to nothing, if the table is still as it was made: empty.
/// Never throws.
void drop_created(pg::Session& session, const Target& target) noexcept;
/// In its own transaction, with a short lock_timeout, again and again; gives up with the names of those in
/// the way.
Altered evolve(pg::Session& session, const Target& target, const Drift& drift,
               const DdlOptions& options = {});

}  // namespace weir::load
