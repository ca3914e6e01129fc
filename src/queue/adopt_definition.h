#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace weir::queue {

/// What the user says about the table that is to be consumed. Column names as SQL would have them: quoted, or
/// folded to lower case where only that exists.
struct AdoptRequest {
  std::string table;
  std::vector<std::string> order_by;  ///< "event_timestamp", "priority desc"
  std::string done;
  std::optional<std::string> done_value;
  std::vector<std::string> set;  ///< "processed_at=now()"
  std::string where;
  std::vector<std::string> columns;  ///< empty: all
  std::string failed;                ///< empty: errors are kept in memory alone
};

struct AdoptColumn {
  std::string name;
  std::string type;       ///< as a cast writes it
  std::string base_type;  ///< behind a domain
  bool not_null = false;
  bool generated = false;
  int key_position = 0;  ///< in the primary key, from 1; 0: not in it
  int partition_position = 0;
  bool may_update = true;
};

/// What the catalogue says of it (adopt_catalog.h).
struct AdoptFacts {
  std::int64_t id = 0;
  std::string schema;
  std::string name;
  char kind = 'r';  ///< pg_class.relkind
  bool row_security = false;
  double estimated_rows = 0;
  bool may_select = true;
  std::string user;
  std::vector<AdoptColumn> columns;
};

/// A table with the answers to: which rows, in which order, what makes one done. Everything in it was
/// checked.
struct Adopted {
  struct Order {
    AdoptColumn column;
    bool descending = false;
  };
  struct Assignment {
    std::string column;
    std::string expression;
  };
  enum class Done {
    flag,   ///< boolean: done when true
    stamp,  ///< date or time: done when not null
    value,  ///< done when it has a certain value
  };

  std::int64_t table_id = 0;
  std::string schema;
  std::string table;
  bool partitioned = false;
  double estimated_rows = 0;
  std::vector<Order> order;
  Done done_kind = Done::flag;
  AdoptColumn done;
  std::string done_value;
  std::vector<Assignment> set;
  std::string where;
  std::vector<std::string> columns;
  std::string failed;
  /// The primary key; empty: rows are known by their place (ctid), which changes with every update.
  std::vector<AdoptColumn> key;
  /// What the user should know and may not have thought of.
  std::vector<std::string> notes;

  /// "public.events", for messages.
  [[nodiscard]] std::string label() const { return schema + "." + table; }
};

/// Pure. Throws what is wrong with the request (ExitCode::usage), with the table (definition) or with the
/// rights on it (database), each with its remedy.
Adopted adopt(const AdoptRequest& request, const AdoptFacts& facts);

/// "Did you mean 'x'? ", or nothing.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& known);

}  // namespace weir::queue
