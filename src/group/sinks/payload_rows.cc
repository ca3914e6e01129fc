#include "group/sinks/payload_rows.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_text.h"

namespace weir::group {
namespace {

/// A value whose numbers keep their digits: nlohmann's own make doubles of those that have many.
struct Value {
  enum class Kind { null, scalar, text, list, object };
  Kind kind = Kind::null;
  std::string text;  ///< of a scalar, or a string without its quotes
  std::vector<std::pair<std::string, Value>> members;

  [[nodiscard]] std::string_view kind_name() const {
    constexpr std::string_view kNames[] = {"null", "a number or a truth", "a string", "an array",
                                           "an object"};
    return kNames[static_cast<std::size_t>(kind)];
  }
};

void append_json(std::string& out, const Value& value) {
  switch (value.kind) {
    case Value::Kind::null: out += "null"; return;
    case Value::Kind::scalar: out += value.text; return;
    case Value::Kind::text: append_json_string(out, value.text); return;
    case Value::Kind::list:
    case Value::Kind::object: break;
  }
  const bool is_list = value.kind == Value::Kind::list;
  out += is_list ? '[' : '{';
  for (const auto& [name, member] : value.members) {
    if (&member != &value.members.front().second) out += ',';
    if (!is_list) {
      append_json_string(out, name);
      out += ':';
    }
    append_json(out, member);
  }
  out += is_list ? ']' : '}';
}

class Builder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Builder(Value& root) : open_{&root} {}

  bool null() override { return add({}); }
  bool boolean(bool value) override { return add({Value::Kind::scalar, value ? "true" : "false", {}}); }
  bool number_integer(number_integer_t value) override {
    return add({Value::Kind::scalar, std::to_string(value), {}});
  }
  bool number_unsigned(number_unsigned_t value) override {
    return add({Value::Kind::scalar, std::to_string(value), {}});
  }
  bool number_float(number_float_t /*value*/, const string_t& digits) override {
    return add({Value::Kind::scalar, digits, {}});
  }
  bool string(string_t& value) override { return add({Value::Kind::text, value, {}}); }
  bool binary(binary_t& /*value*/) override { return false; }
  bool key(string_t& name) override {
    name_ = name;
    return true;
  }
  bool start_object(std::size_t /*size*/) override { return open({Value::Kind::object, {}, {}}); }
  bool start_array(std::size_t /*size*/) override { return open({Value::Kind::list, {}, {}}); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t /*position*/, const std::string& /*token*/,
                   const nlohmann::detail::exception& error) override {
    throw Error(ExitCode::failed, error.what());
  }

 private:
  bool add(Value value) {
    place(std::move(value));
    return true;
  }
  bool open(Value value) {
    open_.push_back(&place(std::move(value)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }
  Value& place(Value value) {
    if (open_.size() == 1 && open_.front()->kind == Value::Kind::null)
      return *open_.front() = std::move(value);
    return open_.back()->members.emplace_back(std::move(name_), std::move(value)).second;
  }

  std::vector<Value*> open_;  // a list's members move only while none of them is open
  std::string name_;
};

std::optional<std::string> text_of(const Value& value) {
  if (value.kind == Value::Kind::null) return std::nullopt;
  if (value.kind == Value::Kind::scalar || value.kind == Value::Kind::text) return value.text;
  std::string json;
  append_json(json, value);
  return json;
}

[[noreturn]] void refuse(std::string_view what) {
  throw Error(ExitCode::failed, fmt::format("the payload has no rows: {}", what),
              "An array of objects, {\"rows\": [..]}, or one object is what a table can take.");
}

const Value* wrapped_rows(const Value& whole) {
  if (whole.kind != Value::Kind::object) return nullptr;
  const auto found = std::find_if(whole.members.begin(), whole.members.end(), [](const auto& member) {
    return member.first == "rows" && member.second.kind == Value::Kind::list;
  });
  return found == whole.members.end() ? nullptr : &found->second;
}

}  // namespace

PayloadRows rows_of(std::string_view payload) {
  Value whole;
  Builder builder(whole);
  nlohmann::json::sax_parse(payload, &builder);
  std::vector<const Value*> list;
  if (const Value* rows = whole.kind == Value::Kind::list ? &whole : wrapped_rows(whole)) {
    for (const auto& [name, row] : rows->members) list.push_back(&row);
  } else if (whole.kind == Value::Kind::object) {
    list.push_back(&whole);
  } else {
    refuse(fmt::format("it is {}", whole.kind_name()));
  }
  PayloadRows found;
  std::unordered_map<std::string_view, std::size_t> places;
  for (const Value* row : list) {
    if (row->kind != Value::Kind::object) refuse(fmt::format("one of them is {}", row->kind_name()));
    for (const auto& [name, value] : row->members) {
      if (places.emplace(name, found.columns.size()).second) found.columns.push_back(name);
    }
  }
  for (const Value* row : list) {
    auto& values = found.rows.emplace_back(found.columns.size());
    for (const auto& [name, value] : row->members) values[places[name]] = text_of(value);
  }
  return found;
}

}  // namespace weir::group
