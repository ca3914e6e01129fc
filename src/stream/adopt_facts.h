#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace weir::stream {

/// What somebody says about the table that is to become a stream. Names of columns as SQL would have them:
/// quoted, or folded to lower case where only that exists.
struct AdoptRequest {
  std::string table;
  std::optional<std::string> id{};
  std::optional<std::string> at{};
  std::optional<std::string> key{};
  std::optional<std::string> payload{};
  bool append_only = false;  ///< nobody updates it any more, whatever it looks like
  std::int64_t chunk_events = 1000;
};

struct AdoptColumn {
  std::string name;
  std::string type;  ///< behind a domain
  bool not_null = false;
  bool counted = false;    ///< a sequence gives out its values
  bool is_unique = false;  ///< but for columns that say which partition a row is in
  bool in_key = false;
  bool in_partition_key = false;
  std::string default_text{};
};

/// The table, or one of its partitions, with its index (xid, id) where there is one.
struct AdoptRelation {
  struct Index {
    std::string schema;
    std::string name;
    bool valid = false;
    bool attached = false;  ///< to that of the parent
  };

  std::string schema;
  std::string name;
  char kind = 'r';  ///< pg_class.relkind
  bool owned = true;
  bool may_index = true;        ///< make something in its schema
  std::string parent_schema{};  ///< empty: the table itself
  std::string parent{};
  std::optional<Index> index{};

  [[nodiscard]] bool is_leaf() const noexcept { return kind != 'p'; }
};

/// What the catalogue says of it.
struct AdoptFacts {
  std::int64_t id = 0;
  std::string schema;
  std::string name;
  char kind = 'r';
  char persistence = 'p';  ///< pg_class.relpersistence
  bool row_security = false;
  bool inherits = false;
  bool is_inherited = false;
  bool is_partition = false;
  std::string owner;
  bool owned = true;
  bool may_make = true;  ///< write to weir.stream
  std::string user;
  std::string stream;       ///< that it is already; empty: none
  bool name_taken = false;  ///< by the stream of another table
  double rows = 0;          ///< about
  std::int64_t updated = 0;
  std::vector<std::string> update_signs;  ///< "trigger touch"
  bool xid_checked = false;
  bool update_refused = false;
  std::vector<AdoptColumn> columns;
  std::vector<AdoptRelation> relations;  ///< parents first

  [[nodiscard]] std::string label() const { return schema + "." + name; }
  [[nodiscard]] bool partitioned() const noexcept { return kind == 'p'; }
};

/// Of the column that is added.
inline constexpr const char* kAdoptedXid = "weir_xid";

}  // namespace weir::stream
