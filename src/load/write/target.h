#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "load/value/column_type.h"
#include "pg/oid.h"

namespace weir::pg {
class Session;
}

namespace weir::load {

struct TargetColumn {
  std::string name;
  ColumnType type;
  bool not_null = false;
  std::string default_sql{};  ///< empty: none
  char identity = '\0';       ///< 'a' always, 'd' by default
  bool pinned = false;        ///< something depends on its type, so that it cannot be changed
  bool generated = false;     ///< the server computes it: no load may give it
  bool comparable = true;     ///< false: the type has no order (json, xml, point, ..); compared by its text
  bool exact = false;  ///< of its type values that are equal look the same: not numeric (1.0, 1.00), citext
  std::string collation{};  ///< quoted; only one by which texts that are not the same can be equal
  std::string uncut{};      ///< the type without its modifier, where a cast to it cuts what it should refuse
  bool may_insert = true;
  bool may_update = true;
};

/// An index that makes rows unique by plain columns: no expression, no WHERE, valid.
struct UniqueKey {
  std::string index;
  std::vector<std::string> columns;
  bool primary = false;
  bool deferrable = false;  ///< ON CONFLICT cannot use it
  bool alike = true;        ///< false: by its collation other values are equal than by that of its columns
};

/// What another object is to the target.
struct Dependent {
  enum class Kind : std::uint8_t {
    view,
    materialized_view,
    foreign_key_in,   ///< of another table, to this one
    foreign_key_out,  ///< of this one
    trigger,
    rule,
    policy,
    publication,
    inheritance,  ///< a child or a parent that is no partition
    other,        ///< a function's body and what else the catalogue knows
  };
  Kind kind = Kind::other;
  std::string name;  ///< qualified, as in SQL
  /// The statements that make it again, where it can be made again; of a publication what it publishes of
  /// changes of rows: "update, delete".
  std::string definition{};
};

struct CheckConstraint {
  std::string name;
  std::string expression;
};

struct ForeignKey {
  std::string name;
  std::string other;  ///< the referenced table, qualified and quoted
  std::vector<std::string> columns;
  std::vector<std::string> other_columns;
};

struct Partition {
  std::string schema;
  std::string name;
  std::string bound;  ///< "FOR VALUES FROM (..) TO (..)" or "DEFAULT"
  bool is_default = false;
  char kind = 'r';                      ///< relkind: 'p' is partitioned itself
  std::vector<Dependent> dependents{};  ///< its own, only where they were asked for
  /// As somebody names it: with its schema or without.
  [[nodiscard]] bool is_called(std::string_view word) const {
    return word == name || word == schema + "." + name;
  }
  [[nodiscard]] std::string sql() const;
};

/// A table that is loaded, as the catalogue describes it.
struct Target {
  pg::Oid oid = 0;
  std::string schema;
  std::string name;
  char kind = 'r';  ///< relkind: 'r' table, 'p' partitioned, others are refused
  std::string owner{};
  std::vector<TargetColumn> columns{};
  std::vector<UniqueKey> keys{};  ///< the primary key first
  std::vector<CheckConstraint> checks{};
  std::vector<ForeignKey> foreign_keys{};
  std::vector<Dependent> dependents{};
  std::vector<Partition> partitions{};
  bool row_security = false;  ///< active for the current role: it would not see all rows
  bool unidentified = false;  ///< of its rows a publication cannot say which one was changed
  bool unlogged = false;
  double estimated_rows = 0;
  std::int64_t bytes = 0;
  bool may_select = false;
  bool may_insert = false;
  bool may_update = false;
  bool may_delete = false;
  bool may_lock = false;          ///< so that nobody else reads or writes
  bool may_create = false;        ///< in its schema
  bool owner_may_create = false;  ///< there, what is then given to the owner
  bool is_owner = false;
  std::string role{};  ///< whose rights these are

  /// Quoted and qualified.
  [[nodiscard]] std::string sql() const;
  /// For messages: schema.name, without the schema where it is public.
  [[nodiscard]] std::string label() const;
  [[nodiscard]] const TargetColumn* column(std::string_view wanted) const;
  /// A key of exactly these columns, in any order.
  [[nodiscard]] const UniqueKey* key_of(const std::vector<std::string>& wanted) const;
  [[nodiscard]] const UniqueKey* primary_key() const;
  [[nodiscard]] std::vector<const Dependent*> dependents_of(Dependent::Kind wanted) const;
};

/// A name as SQL would read it: rates, app.rates, "Odd name". Throws usage when it is none.
struct TableName {
  std::string schema;  ///< empty: not said
  std::string name;
  [[nodiscard]] std::string sql() const;
};
TableName parse_table_name(std::string_view text);

/// Nothing when there is no such relation. A name without a schema is found by the session's search_path, so
/// the session is one with `users_search_path`. Of the partition that is named what hangs on it is described
/// too.
std::optional<Target> describe_target(pg::Session& session, const std::string& table,
                                      const std::string& partition = {});

}  // namespace weir::load
