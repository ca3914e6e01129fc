#include "pipeline/define/model_checks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "pg/identifier.h"
#include "pipeline/define/names.h"
#include "pipeline/define/placeholder.h"

namespace weir::pipeline {
namespace {

using PendingCheck = PendingModel::PendingCheck;

std::vector<std::string> sql_names(const std::vector<std::string>& columns) {
  std::vector<std::string> names;
  names.reserve(columns.size());
  for (const std::string& column : columns) names.push_back(sql_name(column));
  return names;
}

void unique(const std::vector<std::string>& columns, const std::string& relation, Check& check) {
  const std::string list = fmt::format("{}", fmt::join(sql_names(columns), ", "));
  check.name = fmt::format("unique({})", fmt::join(columns, ", "));
  // As a unique constraint: rows with a null in them are no two of a kind.
  check.sql =
      fmt::format("select not exists (select from {} where ({}) is not null group by {} having count(*) > 1)",
                  relation, list, list);
}

void not_null(const std::vector<std::string>& columns, const std::string& relation, Check& check) {
  check.name = fmt::format("not_null({})", fmt::join(columns, ", "));
  check.sql = fmt::format("select not exists (select from {} where {} is null)", relation,
                          fmt::join(sql_names(columns), " is null or "));
}

void accepted_values(Reading& reading, Fields fields, const std::string& relation, Check& check) {
  const auto column = fields.text("column");
  std::vector<std::string> literals;
  for (const yaml::Node* const value : fields.values("values")) {
    // Literals without a type take that of the column.
    if (value->is_scalar()) {
      literals.push_back(pg::quote_literal(value->text));
    } else {
      reading.error(*value, fmt::format("a value must be a text, and is {}", yaml::describe(*value)));
    }
  }
  if (!column || literals.empty()) return;
  check.name = fmt::format("accepted_values({})", column->text);
  check.sql = fmt::format("select not exists (select from {} where {} not in ({}))", relation,
                          sql_name(column->text), fmt::join(literals, ", "));
}

void relationships(Reading& reading, Fields fields, const std::string& relation, PendingCheck& pending) {
  const auto column = fields.text("column");
  const auto to = fields.text("to");
  const auto field = fields.text("field");
  if (!column || !to) return;
  pending.check.name = fmt::format("relationships({})", column->text);
  pending.to = to->text;
  pending.position = reading.at(*to->node);
  const std::string name = sql_name(column->text);
  pending.sql = fmt::format(
      "select not exists (select from {} as c where c.{} is not null and not exists (select from ", relation,
      name);
  pending.to_goes = pending.sql.size();
  pending.sql += fmt::format(" as p where p.{} = c.{}))", field ? sql_name(field->text) : name, name);
}

void own_query(Reading& reading, const Said& said, PendingCheck& pending) {
  refuse_placeholders(reading, said, false);
  pending.sql = said.text;
  pending.position = reading.at(*said.node);
  pending.scan = scan_query(said.text);
  for (const SqlFault& fault : pending.scan.faults)
    reading.error(pending.position, fault.message, fault.remedy);
  if (!pending.scan.faults.empty()) pending.sql.clear();
}

}  // namespace

std::vector<PendingCheck> read_checks(Reading& reading, Fields& model, const std::string& relation) {
  std::vector<PendingCheck> checks;
  for (Fields& fields : model.objects("checks")) {
    PendingCheck pending;
    const std::string_view kind = fields.kind();
    if (kind == "unique" || kind == "not_null") {
      const auto columns = texts_of(fields.texts(kind));
      if (!columns.empty()) (kind == "unique" ? unique : not_null)(columns, relation, pending.check);
    } else if (kind == "accepted_values") {
      if (auto body = fields.object(kind))
        accepted_values(reading, std::move(*body), relation, pending.check);
    } else if (kind == "relationships") {
      if (auto body = fields.object(kind)) relationships(reading, std::move(*body), relation, pending);
    } else if (const auto said = kind == "sql" ? fields.text("sql") : std::nullopt) {
      own_query(reading, *said, pending);
    }
    if (const auto name = fields.text("name")) pending.check.name = name->text;
    if (pending.check.name.empty()) pending.check.name = fmt::format("check {}", checks.size() + 1);
    pending.check.blocking = fields.boolean("blocking").value_or(true);
    checks.push_back(std::move(pending));
  }
  return checks;
}

}  // namespace weir::pipeline
