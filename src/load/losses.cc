#include "load/losses.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace weir::load {
namespace {

using CountsJson = nlohmann::ordered_json;

std::string dump_counts(const CountsJson& json) {
  return json.dump(-1, ' ', false, CountsJson::error_handler_t::replace);
}

CountsJson counts_of(const Losses::ByColumn& columns) {
  CountsJson all = CountsJson::object();
  for (const auto& [name, of] : columns) all[name] = of.values;
  return all;
}

CountsJson json_of(const Losses::ByColumn& columns) {
  CountsJson all = CountsJson::array();
  for (const auto& [name, of] : columns) all.push_back({name, of.values, of.first});
  return all;
}

void read_columns_of(const CountsJson& all, Losses::ByColumn& columns) {
  for (const CountsJson& one : all)
    columns[one.at(0).get<std::string>()] = {one.at(1).get<std::uint64_t>(), one.at(2).get<std::string>()};
}

std::string values_text(std::uint64_t values) {
  return fmt::format("{} value{}", human_count(static_cast<std::int64_t>(values)), values == 1 ? "" : "s");
}

}  // namespace

void Losses::add(ByColumn& columns, std::string_view column, const Record& record) {
  auto at = columns.find(column);
  if (at == columns.end()) {
    at = columns.emplace(std::string(column), Of{}).first;
    at->second.first =
        fmt::format("{}{}line {}", printable(record.file), record.file.empty() ? "" : ", ", record.line);
  }
  ++at->second.values;
}

std::vector<std::string> Losses::notices() const {
  std::vector<std::string> all;
  for (const auto& [name, of] : discarded_)
    all.push_back(fmt::format("{}: {} left out (--schema discard), the first in {}", printable(name),
                              values_text(of.values), of.first));
  for (const auto& [name, of] : rounded_)
    all.push_back(
        fmt::format("{}: {} rounded to microseconds, all that PostgreSQL keeps of a second; the first "
                    "in {}",
                    printable(name), values_text(of.values), of.first));
  return all;
}

std::string Losses::counts() const {
  return dump_counts({{"discarded_values", counts_of(discarded_)}, {"rounded_values", counts_of(rounded_)}});
}

std::string Losses::to_json() const {
  return dump_counts({{"discarded", json_of(discarded_)}, {"rounded", json_of(rounded_)}});
}

Losses Losses::from_json(std::string_view json) {
  Losses losses;
  const CountsJson kept = CountsJson::parse(json);
  read_columns_of(kept.at("discarded"), losses.discarded_);
  read_columns_of(kept.at("rounded"), losses.rounded_);
  return losses;
}

}  // namespace weir::load
