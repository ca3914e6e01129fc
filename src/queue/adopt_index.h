#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "queue/adopt_definition.h"

namespace weir::pg {
class Session;
}

namespace weir::queue {

struct AdoptIndex {
  std::string name;
  std::string first_column;  ///< empty where it is an expression
  bool partial = false;
};

struct AdoptPartition {
  std::string schema;
  std::string name;
  std::string parent_schema;
  std::string parent;
  bool leaf = true;
};

/// How the poll finds its rows.
struct IndexVerdict {
  enum class Kind {
    serves,       ///< an index that begins with the rows that are not done
    orders_only,  ///< an index in the right order that holds the done rows, too
    none,         ///< each poll reads and sorts a whole table
  };
  Kind kind = Kind::none;
  std::vector<std::string> indexes;   ///< that the poll can use
  std::vector<std::string> unserved;  ///< tables or partitions without one
};

/// Pure: `plan` is what EXPLAIN (FORMAT JSON) says of the claim where the server may neither sort nor read
/// whole tables unless it must.
IndexVerdict judge_plan(std::string_view plan, const std::string& done,
                        const std::vector<AdoptIndex>& indexes);

struct IndexAdvice {
  struct Step {
    std::string sql;
    std::string lock;  ///< which it takes, and what that holds up
  };
  std::vector<Step> steps;
};

/// Pure: how to make the index that serves, without holding up readers and writers.
IndexAdvice advise_index(const Adopted& adopted, const std::vector<AdoptPartition>& partitions);

/// Asks the server.
IndexVerdict judge_index(pg::Session& session, const Adopted& adopted);
IndexAdvice advise_index(pg::Session& session, const Adopted& adopted);

}  // namespace weir::queue
