#include "queue/adopt_index.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "pg/identifier.h"
#include "pg/transaction.h"
#include "queue/adopt_sql.h"
#include "schema/queries/adopt.h"

namespace weir::queue {
namespace {

using nlohmann::json;

void add_once(std::vector<std::string>& list, const std::string& text) {
  if (std::find(list.begin(), list.end(), text) == list.end()) list.push_back(text);
}

void walk(const json& node, bool sorted_above, IndexVerdict& verdict) {
  // Sub-selects of --where look at other tables.
  const std::string relationship = node.value("Parent Relationship", "");
  if (relationship == "SubPlan" || relationship == "InitPlan") return;
  const std::string type = node.value("Node Type", "");
  const bool sorted = sorted_above || type == "Sort";
  if (node.contains("Relation Name")) {
    const bool by_index = type == "Index Scan" || type == "Index Only Scan";
    if (by_index && !sorted) {
      add_once(verdict.indexes, node.value("Index Name", ""));
    } else {
      add_once(verdict.unserved, node.at("Relation Name").get<std::string>());
    }
  }
  if (!node.contains("Plans")) return;
  for (const json& below : node.at("Plans")) walk(below, sorted, verdict);
}

/// An index of `table` of at most 63 bytes, not cut inside of a character.
std::string index_name(const std::string& table) {
  constexpr std::string_view kSuffix = "_weir_todo";
  constexpr std::size_t kLongest = 63;
  std::string name = table;
  std::size_t end = std::min(name.size(), kLongest - kSuffix.size());
  while (end > 0 && end < name.size() && (static_cast<unsigned char>(name[end]) & 0xC0U) == 0x80U) --end;
  name.resize(end);
  return name + std::string(kSuffix);
}

std::string qualified(const std::string& schema, const std::string& name) {
  return pg::quote_identifier(schema) + "." + pg::quote_identifier(name);
}

}  // namespace

IndexVerdict judge_plan(std::string_view plan, const std::string& done,
                        const std::vector<AdoptIndex>& indexes) {
  IndexVerdict verdict;
  walk(json::parse(plan).at(0).at("Plan"), false, verdict);
  if (!verdict.unserved.empty() || verdict.indexes.empty()) return verdict;
  const auto begins_with_pending = [&](const std::string& name) {
    return std::any_of(indexes.begin(), indexes.end(), [&](const AdoptIndex& index) {
      return index.name == name && (index.partial || index.first_column == done);
    });
  };
  verdict.kind = std::all_of(verdict.indexes.begin(), verdict.indexes.end(), begins_with_pending)
                     ? IndexVerdict::Kind::serves
                     : IndexVerdict::Kind::orders_only;
  return verdict;
}

IndexAdvice advise_index(const Adopted& adopted, const std::vector<AdoptPartition>& partitions) {
  const AdoptSql sql(adopted);
  const std::string what = fmt::format("({}) WHERE {}", sql.order(), sql.pending_for_index());
  IndexAdvice advice;
  constexpr const char* kConcurrent =
      "SHARE UPDATE EXCLUSIVE: reads and writes go on; it waits for transactions that are open";
  if (!adopted.partitioned) {
    advice.steps.push_back({fmt::format("CREATE INDEX CONCURRENTLY {} ON {} {};",
                                        pg::quote_identifier(index_name(adopted.table)), sql.table(), what),
                            kConcurrent});
    return advice;
  }
  // The server has no CONCURRENTLY for a partitioned table as a whole.
  constexpr const char* kOnly = "SHARE on the parent, for a moment: inserts through it wait";
  constexpr const char* kAttach = "ACCESS EXCLUSIVE on the partition's new index, for a moment";
  advice.steps.push_back({fmt::format("CREATE INDEX {} ON ONLY {} {};",
                                      pg::quote_identifier(index_name(adopted.table)), sql.table(), what),
                          kOnly});
  for (const AdoptPartition& partition : partitions) {
    const std::string name = index_name(partition.name);
    advice.steps.push_back(
        {fmt::format("CREATE INDEX {}{} ON {}{} {};", partition.leaf ? "CONCURRENTLY " : "",
                     pg::quote_identifier(name), partition.leaf ? "" : "ONLY ",
                     qualified(partition.schema, partition.name), what),
         partition.leaf ? kConcurrent : kOnly});
    advice.steps.push_back({fmt::format("ALTER INDEX {} ATTACH PARTITION {};",
                                        qualified(partition.parent_schema, index_name(partition.parent)),
                                        qualified(partition.schema, name)),
                            kAttach});
  }
  return advice;
}

IndexVerdict judge_index(pg::Session& session, const Adopted& adopted) {
  std::vector<AdoptIndex> indexes;
  const auto rows = session.run<sql::AdoptIndexes>(adopted.table_id);
  for (const auto row : rows)
    indexes.push_back({std::string(row.name), std::string(row.first_column.value_or("")), row.partial});

  pg::Transaction transaction(session);
  // A small table would be read whole although an index waits for the day on which it has grown.
  for (const char* setting :
       {"enable_seqscan", "enable_bitmapscan", "enable_sort", "enable_incremental_sort"})
    transaction.set_local(setting, "off");
  pg::Params params = AdoptSql::claim_params(100, std::nullopt, {});
  const pg::Result plan =
      session.execute_with("EXPLAIN (FORMAT JSON) " + AdoptSql(adopted).claim({.lock = false}), params);
  IndexVerdict verdict = judge_plan(plan.bytes(0, 0), adopted.done.name, indexes);
  transaction.rollback();
  return verdict;
}

IndexAdvice advise_index(pg::Session& session, const Adopted& adopted) {
  std::vector<AdoptPartition> partitions;
  const auto rows = session.run<sql::AdoptPartitions>(adopted.table_id);
  for (const auto row : rows)
    partitions.push_back({std::string(row.schema_name), std::string(row.name), std::string(row.parent_schema),
                          std::string(row.parent_name), row.leaf});
  return advise_index(adopted, partitions);
}

}  // namespace weir::queue
