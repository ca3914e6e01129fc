#include "cli/batch_line.h"

#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "queue/job_check.h"
#include "work/json_members.h"

namespace weir::cli {
namespace {

using nlohmann::json;

enum class Kind { text, index, count, truth, any };

struct Member {
  std::string_view name;
  Kind kind;
  bool needed;
};
constexpr Member kMembers[] = {{"tenant", Kind::text, true},  {"key", Kind::text, true},
                               {"payload", Kind::any, true},  {"run", Kind::text, false},
                               {"index", Kind::index, false}, {"final", Kind::truth, false},
                               {"rows", Kind::count, false},  {"bytes", Kind::count, false}};

/// With its quotes and escapes.
bool is_payload(std::string_view key) { return json::parse(key).get<std::string>() == "payload"; }

bool is_number_up_to(const json& value, std::int64_t most) {
  return value.is_number_integer() && value >= 0 && value <= most;
}

bool is_a(const json& value, Kind kind) {
  switch (kind) {
    case Kind::text: return value.is_string();
    case Kind::index: return is_number_up_to(value, kMostBatchIndex);
    case Kind::count: return is_number_up_to(value, std::numeric_limits<std::int64_t>::max());
    case Kind::truth: return value.is_boolean();
    case Kind::any: return true;
  }
  return false;
}

std::string_view name_of(Kind kind) {
  switch (kind) {
    case Kind::text: return "a text";
    case Kind::index: return "a number from 0 to 1000000000";
    case Kind::count: return "a number from 0 on";
    case Kind::truth: return "true or false";
    case Kind::any: break;
  }
  return "any JSON";
}

}  // namespace

std::optional<std::string> find_batch_line_fault(std::string_view line) {
  if (auto fault = queue::find_payload_fault(line)) return fault;
  // Not the payload: no tree could hold its numbers.
  if (line[line.find_first_not_of(" \t\n\r")] != '{') return "it is no object";
  std::string members = "{";
  const auto parts = work::split_object(line, line.size());
  for (const work::JsonMember& member : parts.value()) {
    if (members.size() > 1) members += ',';
    members.append(member.key) += ':';
    members += is_payload(member.key) ? "0" : member.value;
  }
  const json object = json::parse(members + "}", nullptr, false);
  if (object.is_discarded()) return "a number in it is too large";
  for (const Member& member : kMembers) {
    const auto found = object.find(member.name);
    const bool missing = found == object.end() || (found->is_null() && member.kind != Kind::any);
    if (missing && member.needed) return fmt::format("'{}' is missing", member.name);
    if (!missing && !is_a(*found, member.kind))
      return fmt::format("'{}' has to be {}", member.name, name_of(member.kind));
  }
  const auto given = [&](const char* name) { return object.contains(name) && !object[name].is_null(); };
  if (given("index") && !given("run")) return "'index' is a place in a run, and 'run' is missing";
  for (const auto& [name, value] : object.items()) {
    bool known = false;
    for (const Member& member : kMembers) known = known || member.name == name;
    if (!known) return fmt::format("nobody knows what '{}' means", printable(elide(name, 40)));
  }
  return std::nullopt;
}

}  // namespace weir::cli
