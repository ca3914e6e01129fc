#include "queue/adopt_sql.h"

#include <fmt/format.h>

#include "pg/identifier.h"

namespace weir::queue {
namespace {

std::string field(const std::string& column) { return "weir_row." + pg::quote_identifier(column); }

/// In a form that does not depend on the session's DateStyle, because it comes back as a parameter.
std::string as_text(const AdoptColumn& column) {
  const bool is_time = column.base_type.starts_with("timestamp") || column.base_type == "date";
  return is_time ? fmt::format("(to_jsonb({}) #>> '{{}}')", field(column.name))
                 : field(column.name) + "::text";
}

std::string pending_condition(const Adopted& adopted, const std::string& column) {
  switch (adopted.done_kind) {
    case Adopted::Done::flag: return "NOT " + column;
    case Adopted::Done::stamp: return column + " IS NULL";
    case Adopted::Done::value: break;
  }
  return fmt::format("{} {} {}::{}", column, adopted.done.not_null ? "<>" : "IS DISTINCT FROM",
                     pg::quote_literal(adopted.done_value), adopted.done.type);
}

std::string done_value(const Adopted& adopted) {
  switch (adopted.done_kind) {
    case Adopted::Done::flag: return "true";
    case Adopted::Done::stamp: return "now()";
    case Adopted::Done::value: break;
  }
  return fmt::format("{}::{}", pg::quote_literal(adopted.done_value), adopted.done.type);
}

}  // namespace

AdoptSql::AdoptSql(const Adopted& adopted)
    : table_(pg::quote_identifier(adopted.schema) + "." + pg::quote_identifier(adopted.table)) {
  pending_ = pending_condition(adopted, field(adopted.done.name));
  index_pending_ = pending_condition(adopted, pg::quote_identifier(adopted.done.name));
  if (!adopted.failed.empty()) pending_ += " AND " + field(adopted.failed) + " IS NULL";
  // On lines of its own: a comment at its end must not swallow what follows.
  if (!adopted.where.empty()) pending_ += " AND (" + adopted.where + "\n)";

  for (const Adopted::Order& order : adopted.order) {
    const char* const direction = order.descending ? " DESC" : "";
    order_ += (order_.empty() ? "" : ", ") + field(order.column.name) + direction;
    index_order_ += (index_order_.empty() ? "" : ", ") + pg::quote_identifier(order.column.name) + direction;
  }
  const Adopted::Order& first = adopted.order.front();
  mark_ = as_text(first.column);
  mark_condition_ = fmt::format("{} {} CAST($2::text AS {})", field(first.column.name),
                                first.descending ? "<=" : ">=", first.column.type);

  has_key_ = !adopted.key.empty();
  std::string parts;
  for (const AdoptColumn& column : adopted.key) {
    key_texts_.push_back(as_text(column));
    key_joins_.push_back(fmt::format("{} = CAST(weir_key.weir_k{} AS {})", field(column.name),
                                     key_texts_.size(), column.type));
    parts += (parts.empty() ? "" : ", ") + key_texts_.back();
  }
  if (!has_key_) {
    key_texts_ = {"weir_row.tableoid::text", "weir_row.ctid::text"};
    key_joins_ = {"weir_row.tableoid = weir_key.weir_k1::oid", "weir_row.ctid = weir_key.weir_k2::tid"};
    parts = "weir_row.tableoid::text, weir_row.ctid::text";
  }
  identity_ = key_texts_.size() == 1 ? key_texts_.front() : fmt::format("ROW({})::text", parts);

  if (adopted.columns.empty()) {
    payload_ = "to_jsonb(weir_row)::text";
  } else {
    std::string columns;
    for (const std::string& name : adopted.columns) columns += (columns.empty() ? "" : ", ") + field(name);
    payload_ = fmt::format("(SELECT to_jsonb(weir_part)::text FROM (SELECT {}) weir_part)", columns);
  }

  assignments_ = pg::quote_identifier(adopted.done.name) + " = " + done_value(adopted);
  for (const auto& [column, expression] : adopted.set)
    assignments_ += fmt::format(", {} = ({}\n)", pg::quote_identifier(column), expression);
  failed_ = adopted.failed.empty() ? "" : pg::quote_identifier(adopted.failed);
}

std::string AdoptSql::claim(Claim claim) const {
  std::string keys;
  for (const std::string& text : key_texts_) keys += ", " + text;
  std::string sql = fmt::format("SELECT {}, {}, {}{} FROM {} AS weir_row WHERE {}", identity_, mark_,
                                payload_, keys, table_, pending_);
  if (claim.marked) sql += " AND " + mark_condition_;
  if (claim.excluding) sql += fmt::format(" AND {} <> ALL(${}::text[])", identity_, claim.marked ? 3 : 2);
  sql += " ORDER BY " + order_ + " LIMIT $1::int8";
  if (claim.lock) sql += " FOR NO KEY UPDATE OF weir_row SKIP LOCKED";
  return sql;
}

pg::Params AdoptSql::claim_params(std::int64_t limit, const std::optional<std::string>& mark,
                                  const std::vector<std::string>& excluded) {
  pg::Params params;
  params.add(limit);
  if (mark) params.add(*mark);
  if (!excluded.empty()) params.add(excluded);
  return params;
}

std::string AdoptSql::left(bool excluding) const {
  return fmt::format("SELECT EXISTS (SELECT FROM {} AS weir_row WHERE {}{})", table_, pending_,
                     excluding ? fmt::format(" AND {} <> ALL($1::text[])", identity_) : "");
}

std::string AdoptSql::keys_from(std::size_t extra) const {
  std::string arrays;
  std::string names;
  for (std::size_t i = 1; i <= key_texts_.size() + extra; ++i) {
    arrays += fmt::format("{}${}::text[]", i == 1 ? "" : ", ", i);
    names += fmt::format("{}weir_k{}", i == 1 ? "" : ", ", i);
  }
  return fmt::format("unnest({}) AS weir_key({})", arrays, names);
}

std::string AdoptSql::join_keys() const { return fmt::format("{}", fmt::join(key_joins_, " AND ")); }

std::string AdoptSql::mark_done() const {
  return fmt::format("UPDATE {} AS weir_row SET {} FROM {} WHERE {}", table_, assignments_, keys_from(0),
                     join_keys());
}

std::string AdoptSql::alone(const std::string& expression) const {
  return fmt::format("SELECT CASE WHEN true THEN {}\n END FROM {} AS weir_row, {}", expression, table_,
                     keys_from(0));
}

std::string AdoptSql::mark_failed() const {
  return fmt::format("UPDATE {} AS weir_row SET {} = weir_key.weir_k{} FROM {} WHERE {}", table_, failed_,
                     key_texts_.size() + 1, keys_from(1), join_keys());
}

std::string AdoptSql::still_pending() const {
  return fmt::format("SELECT count(*) FROM {} AS weir_row, {} WHERE {} AND {}", table_, keys_from(0),
                     join_keys(), pending_);
}

}  // namespace weir::queue
