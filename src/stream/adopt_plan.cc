#include "stream/adopt_plan.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"
#include "pg/identifier.h"
#include "stream/partition_plan.h"
#include "stream/stream_table.h"

namespace weir::stream {
namespace {

constexpr const char* kBuilds =
    "reads all rows; nobody waits for it, and it waits for transactions that are open";

std::string qualified(const std::string& schema, const std::string& name) {
  return pg::quote_identifier(schema) + "." + pg::quote_identifier(name);
}

class AdoptPlanner {
 public:
  AdoptPlanner(const AdoptFacts& table, const StreamColumns& columns) : table_(table), columns_(columns) {}

  std::vector<AdoptStep> plan() {
    change();
    for (const AdoptRelation& relation : table_.relations) {
      if (relation.is_leaf()) build(relation);
    }
    steps_.push_back({.kind = AdoptStep::Kind::make,
                      .name = "make the stream",
                      .lock = "ACCESS SHARE",
                      .on = table_.label(),
                      .note = fmt::format("cuts {} into chunks; nobody waits", rows_text())});
    return std::move(steps_);
  }

 private:
  [[nodiscard]] std::string table() const { return qualified(table_.schema, table_.name); }
  /// Before the first ANALYZE the server cannot tell.
  [[nodiscard]] std::string rows_text() const {
    if (table_.rows < 1) return "the rows that are there";
    return fmt::format("about {} rows", human_count(static_cast<std::int64_t>(table_.rows)));
  }
  [[nodiscard]] std::string index_columns() const {
    return fmt::format("({}, {})", pg::quote_identifier(columns_.xid), pg::quote_identifier(columns_.id));
  }
  /// Of a relation that has none yet, or an invalid one that is made again.
  [[nodiscard]] static std::string index_name(const AdoptRelation& relation) {
    return relation.index ? relation.index->name : partition_name(relation.name, "_weir_xid");
  }
  [[nodiscard]] const AdoptRelation* parent_of(const AdoptRelation& relation) const {
    const auto found =
        std::find_if(table_.relations.begin(), table_.relations.end(), [&](const AdoptRelation& one) {
          return one.name == relation.parent && one.schema == relation.parent_schema;
        });
    return found == table_.relations.end() ? nullptr : &*found;
  }

  void change() {
    AdoptStep step{.kind = AdoptStep::Kind::change,
                   .name = "column and check",
                   .lock = "ACCESS EXCLUSIVE",
                   .on = table_.label(),
                   .note = "a moment: no row is read or written"};
    const bool has_column =
        std::any_of(table_.columns.begin(), table_.columns.end(),
                    [&](const AdoptColumn& column) { return column.name == columns_.xid; });
    if (!has_column) {
      step.sql.push_back(fmt::format(
          "ALTER TABLE {0} ADD COLUMN {1} pg_catalog.xid8 NOT NULL DEFAULT {2}, ADD CONSTRAINT {3} CHECK "
          "({1} = {2}) NOT VALID",
          table(), pg::quote_identifier(columns_.xid), own_xid(0), kXidCheck));
    }
    if (!table_.update_refused) {
      step.sql.push_back(
          fmt::format("CREATE TRIGGER {} BEFORE UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION "
                      "weir.refuse_stream_update()",
                      kNoUpdate, table()));
    }
    for (const AdoptRelation& relation : table_.relations) {
      if (!relation.is_leaf()) frame(relation, step);
    }
    if (step.sql.empty()) return;
    if (has_column) step.name = "what is missing of it";
    if (table_.partitioned())
      step.on += fmt::format(" and what is below it: {}", table_.relations.size() - 1);
    steps_.push_back(std::move(step));
  }

  /// The server builds no index CONCURRENTLY for a partitioned table as a whole.
  void frame(const AdoptRelation& relation, AdoptStep& step) const {
    const std::string name = index_name(relation);
    if (!relation.index) {
      step.sql.push_back(fmt::format("CREATE INDEX {} ON ONLY {} {}", pg::quote_identifier(name),
                                     qualified(relation.schema, relation.name), index_columns()));
    }
    if (const AdoptRelation* parent = parent_of(relation);
        parent && !(relation.index && relation.index->attached))
      step.sql.push_back(attach(relation, *parent));
  }

  [[nodiscard]] static std::string attach(const AdoptRelation& relation, const AdoptRelation& parent) {
    return fmt::format("ALTER INDEX {} ATTACH PARTITION {}", qualified(parent.schema, index_name(parent)),
                       qualified(relation.schema, index_name(relation)));
  }

  void build(const AdoptRelation& relation) {
    const std::string what = qualified(relation.schema, relation.name);
    const std::string on = relation.schema + "." + relation.name;
    const std::string name = index_name(relation);
    const bool ready = relation.index && relation.index->valid;
    if (relation.index && !ready) {
      steps_.push_back(
          {.kind = AdoptStep::Kind::build,
           .name = "drop an unfinished index",
           .sql = {fmt::format("DROP INDEX CONCURRENTLY IF EXISTS {}", qualified(relation.schema, name))},
           .lock = "SHARE UPDATE EXCLUSIVE",
           .on = on,
           .note = "left by a build that was interrupted"});
    }
    if (!ready) {
      steps_.push_back({.kind = AdoptStep::Kind::build,
                        .name = "index",
                        .sql = {fmt::format("CREATE INDEX CONCURRENTLY {} ON {} {}",
                                            pg::quote_identifier(name), what, index_columns())},
                        .lock = "SHARE UPDATE EXCLUSIVE",
                        .on = on,
                        .note = kBuilds});
    }
    const AdoptRelation* parent = parent_of(relation);
    if (parent == nullptr || (relation.index && relation.index->attached)) return;
    // With the last of its partitions a partition's own index is ready, and the server locks what is above
    // it.
    const bool deep = !parent->parent.empty();
    steps_.push_back({.kind = AdoptStep::Kind::change,
                      .name = "attach the index",
                      .sql = {attach(relation, *parent)},
                      .lock = "ACCESS EXCLUSIVE",
                      .on = deep ? "the index, and tables above" : "the new index",
                      .note = "a moment: who begins to read or write waits"});
  }

  const AdoptFacts& table_;
  const StreamColumns& columns_;
  std::vector<AdoptStep> steps_;
};

}  // namespace

std::vector<AdoptStep> plan_adoption(const AdoptFacts& table, const StreamColumns& columns) {
  return AdoptPlanner(table, columns).plan();
}

std::vector<std::string> adoption_notices(const AdoptFacts& table, const StreamColumns& columns) {
  const std::string name = pg::quote_identifier(table.schema) + "." + pg::quote_identifier(table.name);
  std::vector<std::string> notices{
      fmt::format("UPDATE of {} is refused, also by INSERT .. ON CONFLICT DO UPDATE", name),
      fmt::format(
          "COPY {} without names of columns fails: it expects {}, which nobody writes. INSERT goes on "
          "as it is",
          name, columns.xid),
      fmt::format("SELECT * has one column more: {}", columns.xid),
      "each row that is inserted goes into one index more"};
  if (table.partitioned()) {
    notices.emplace_back(
        "rows that come with a table that is attached as a partition are no events: insert them");
  }
  return notices;
}

}  // namespace weir::stream
