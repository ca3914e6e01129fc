#include "pipeline/task/process_message.h"

#include <array>
#include <initializer_list>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "pipeline/task/task_log.h"
#include "work/json_members.h"
#include "work/json_syntax.h"

namespace weir::pipeline {
namespace {

using Kind = ProcessMessage::Kind;
using Members = std::vector<work::JsonMember>;

constexpr std::size_t kMembers = 8;
constexpr std::size_t kMostTasks = 10'000;
constexpr std::size_t kLongestReason = 1000;

[[noreturn]] void refuse(std::string what) { throw MessageFault{std::move(what)}; }

std::optional<std::string_view> find(const Members& members, std::string_view key) {
  for (const auto& member : members)
    if (member.key == fmt::format("\"{}\"", key)) return member.value;
  return std::nullopt;
}

std::string_view need(const Members& members, std::string_view verb, std::string_view key) {
  if (const auto value = find(members, key)) return *value;
  refuse(fmt::format(R"("{}" needs "{}")", verb, key));
}

void allow_only(const Members& members, std::initializer_list<std::string_view> keys) {
  for (const auto& member : members) {
    bool known = member.key == R"("weir")";
    for (const std::string_view key : keys) known = known || member.key == fmt::format("\"{}\"", key);
    if (!known) refuse(fmt::format("{} is not known there", elide(printable(member.key), 40)));
  }
}

std::string string_of(std::string_view json, std::string_view key) {
  if (!json.starts_with('"')) refuse(fmt::format(R"("{}" has to be a string)", key));
  return clean_text(nlohmann::json::parse(json).get<std::string>());
}

double number_of(std::string_view json, std::string_view key) {
  const auto value = nlohmann::json::parse(json, nullptr, false);
  if (!value.is_number() || value.get<double>() < 0) refuse(fmt::format(R"("{}" has to be a number)", key));
  return value.get<double>();
}

ProcessMessage decode(const Members& members, std::string_view said) {
  const std::string verb = string_of(said, "weir");
  ProcessMessage message;
  if (verb == "output") {
    allow_only(members, {"value"});
    message.value = std::string(need(members, verb, "value"));
    if (const auto fault = work::find_jsonb_fault(message.value)) refuse("the value: " + *fault);
  } else if (verb == "skip") {
    allow_only(members, {"reason"});
    message.kind = Kind::skip;
    const auto reason = find(members, "reason");
    message.value = reason ? elide(string_of(*reason, "reason"), kLongestReason) : "";
  } else if (verb == "branch") {
    allow_only(members, {"tasks"});
    message.kind = Kind::branch;
    const std::string_view tasks = need(members, verb, "tasks");
    if (!tasks.starts_with('[')) refuse(R"("tasks" has to be a list of names)");
    const auto names = work::split_array(tasks, kMostTasks);
    if (!names) refuse(fmt::format("it names more than {} tasks", kMostTasks));
    for (const std::string_view name : *names) message.tasks.push_back(string_of(name, "tasks"));
  } else if (verb == "progress") {
    allow_only(members, {"done", "of"});
    message.kind = Kind::progress;
    message.done = number_of(need(members, verb, "done"), "done");
    if (const auto of = find(members, "of"); of && *of != "null") message.of = number_of(*of, "of");
  } else {
    constexpr std::array<std::string_view, 4> kVerbs{"output", "skip", "branch", "progress"};
    const auto guess = closest(verb, kVerbs);
    refuse(fmt::format(R"("weir":"{}" is not known{})", elide(printable(verb), 40),
                       guess ? fmt::format("; did you mean {}?", *guess) : ""));
  }
  return message;
}

}  // namespace

std::optional<ProcessMessage> read_message(std::string_view line) {
  line = trim(line);
  // Most lines end here: a log in JSON is not taken apart unless the word is in it.
  if (!line.starts_with('{') || line.find(R"("weir")") == std::string_view::npos) return std::nullopt;
  if (work::find_json_fault(line)) return std::nullopt;
  const auto members = work::split_object(line, kMembers);
  if (!members) return std::nullopt;
  const auto said = find(*members, "weir");
  if (!said) return std::nullopt;
  return decode(*members, *said);
}

}  // namespace weir::pipeline
