#include "group/sinks/payload_rows.h"

#include <unordered_map>

#include <fmt/format.h>
#include <simdjson.h>

#include "base/error.h"
#include "base/text.h"

namespace weir::group {
namespace {

namespace ondemand = simdjson::ondemand;
using ondemand::json_type;

std::string_view kind_name(json_type type) {
  switch (type) {
    case json_type::array: return "an array";
    case json_type::object: return "an object";
    case json_type::string: return "a string";
    case json_type::null: return "null";
    case json_type::number:
    case json_type::boolean: break;
  }
  return "a number or a truth";
}

[[noreturn]] void refuse(std::string_view what) {
  throw Error(ExitCode::failed, fmt::format("the payload has no rows: {}", what),
              "An array of objects, {\"rows\": [..]}, or one object is what a table can take.");
}

std::optional<std::string> text_of(ondemand::value value) {
  switch (value.type()) {
    case json_type::null: return std::nullopt;
    case json_type::string: return std::string(std::string_view(value.get_string()));
    case json_type::array:
    case json_type::object: return std::string(std::string_view(simdjson::to_json_string(value)));
    case json_type::number:
    case json_type::boolean: break;
  }
  return std::string(trim(value.raw_json_token()));  // a number keeps its digits
}

void visit_list(ondemand::array rows, const auto& visit) {
  for (ondemand::value row : rows) {
    if (const json_type type = row.type(); type != json_type::object)
      refuse(fmt::format("one of them is {}", kind_name(type)));
    visit(ondemand::object(row.get_object()));
  }
}

/// Calls `visit` with each row. `payload` has the parser's padding behind `size`.
void visit_rows(const std::string& payload, std::size_t size, const auto& visit) {
  ondemand::parser parser;
  ondemand::document document = parser.iterate(payload.data(), size, payload.size());
  const json_type type = document.type();
  if (type == json_type::array) return visit_list(document.get_array(), visit);
  if (type != json_type::object) refuse(fmt::format("it is {}", kind_name(type)));
  ondemand::object object = document.get_object();
  ondemand::value rows;
  if (object.find_field_unordered("rows").get(rows) == simdjson::SUCCESS && rows.type() == json_type::array)
    return visit_list(rows.get_array(), visit);
  object.reset();
  visit(object);
}

}  // namespace

PayloadRows::PayloadRows(std::string_view payload) : payload_(payload), size_(payload.size()) {
  payload_.resize(size_ + simdjson::SIMDJSON_PADDING);
  std::unordered_map<std::string, std::size_t> seen;
  visit_rows(payload_, size_, [&](ondemand::object row) {
    for (auto field : row) {
      std::string name(std::string_view(field.unescaped_key()));
      if (seen.emplace(name, columns_.size()).second) columns_.push_back(std::move(name));
    }
  });
}

void PayloadRows::each(const std::function<void(const Row&)>& visit) const {
  std::unordered_map<std::string_view, std::size_t> places;
  for (const std::string& column : columns_) places.emplace(column, places.size());
  visit_rows(payload_, size_, [&](ondemand::object row) {
    Row values(columns_.size());
    for (auto field : row) values[places.at(field.unescaped_key())] = text_of(field.value());
    visit(values);
  });
}

}  // namespace weir::group
