#include "pipeline/run/parameters.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"
#include "pipeline/define/instant_text.h"

namespace weir::pipeline {
namespace {

using nlohmann::ordered_json;

template <class Number>
std::optional<Number> to_number(const std::string& text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// Nothing: it is not of the type. Dates and times stay text.
std::optional<ordered_json> to_value(Parameter::Type type, const std::string& text) {
  switch (type) {
    case Parameter::Type::integer:
      if (const auto number = to_number<std::int64_t>(text)) return ordered_json(*number);
      return std::nullopt;
    case Parameter::Type::number:
      if (const auto number = to_number<double>(text); number && std::isfinite(*number))
        return ordered_json(*number);
      return std::nullopt;
    case Parameter::Type::boolean:
      if (text == "true") return ordered_json(true);
      if (text == "false") return ordered_json(false);
      return std::nullopt;
    case Parameter::Type::string:
    case Parameter::Type::date:
    case Parameter::Type::timestamp: return ordered_json(text);
  }
  return std::nullopt;
}

std::string_view to_string(Parameter::Type type) {
  switch (type) {
    case Parameter::Type::string: return "a string";
    case Parameter::Type::integer: return "an integer";
    case Parameter::Type::number: return "a number";
    case Parameter::Type::boolean: return "true or false";
    case Parameter::Type::date: return "a date";
    case Parameter::Type::timestamp: return "a timestamp";
  }
  return "";
}

std::string remedy(const Parameter& parameter) {
  const auto write = [&](std::string_view example) {
    return fmt::format("Write: --param {}={}", parameter.name, example);
  };
  switch (parameter.type) {
    case Parameter::Type::string: break;
    case Parameter::Type::integer: return fmt::format("Write a whole number: --param {}=42", parameter.name);
    case Parameter::Type::number: return write("1.5");
    case Parameter::Type::boolean: return write("true");
    case Parameter::Type::date: return write("2026-01-31");
    case Parameter::Type::timestamp:
      return write("2026-01-31T06:00Z") + "; without Z or +02:00 it is local time where it is used.";
  }
  return {};
}

/// What PostgreSQL would not read when it is used: then the run has begun, and fails late.
bool can_be_read(Parameter::Type type, const std::string& text) {
  if (type == Parameter::Type::date) return is_date_text(text);
  return type != Parameter::Type::timestamp || is_timestamp_text(text);
}

[[noreturn]] void refuse(const PipelineDefinition& pipeline, const Parameter& parameter,
                         const std::string& text) {
  throw Error(ExitCode::usage,
              fmt::format("parameter {} of {} is {}, and '{}' is none", parameter.name, pipeline.name,
                          to_string(parameter.type), printable(text)),
              remedy(parameter));
}

/// Of a default: what it must be was asked when it was deployed.
ordered_json converted(const PipelineDefinition& pipeline, const Parameter& parameter,
                       const std::string& text) {
  auto value = to_value(parameter.type, text);
  if (!value) refuse(pipeline, parameter, text);
  return *std::move(value);
}

ordered_json checked(const PipelineDefinition& pipeline, const Parameter& parameter,
                     const std::string& text) {
  if (!parameter.choices.empty() &&
      std::find(parameter.choices.begin(), parameter.choices.end(), text) == parameter.choices.end()) {
    throw Error(
        ExitCode::usage,
        fmt::format("parameter {} of {} cannot be '{}'", parameter.name, pipeline.name, printable(text)),
        fmt::format("It is one of: {}", fmt::join(parameter.choices, ", ")));
  }
  if (!can_be_read(parameter.type, text)) refuse(pipeline, parameter, text);
  return converted(pipeline, parameter, text);
}

}  // namespace

std::string run_parameters(const PipelineDefinition& pipeline,
                           const std::map<std::string, std::string>& given) {
  ordered_json all = ordered_json::object();
  for (const Parameter& parameter : pipeline.parameters) {
    const auto found = given.find(parameter.name);
    if (found != given.end()) {
      all[parameter.name] = checked(pipeline, parameter, found->second);
    } else if (parameter.default_value) {
      all[parameter.name] = converted(pipeline, parameter, *parameter.default_value);
    } else {
      throw Error(ExitCode::usage, fmt::format("{} needs the parameter {}", pipeline.name, parameter.name),
                  fmt::format("Write: --param {}=VALUE", parameter.name));
    }
  }
  for (const auto& [name, value] : given) {
    if (all.contains(name)) continue;
    std::vector<std::string_view> names;
    for (const Parameter& parameter : pipeline.parameters) names.emplace_back(parameter.name);
    const auto near = closest(name, names);
    throw Error(ExitCode::usage, fmt::format("{} has no parameter '{}'", pipeline.name, printable(name)),
                near            ? fmt::format("Did you mean '{}'?", *near)
                : names.empty() ? "It has none at all; they are declared under 'parameters'."
                                : fmt::format("It has: {}", fmt::join(names, ", ")));
  }
  return all.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string default_parameters(const PipelineDefinition& pipeline) {
  ordered_json all = ordered_json::object();
  for (const Parameter& parameter : pipeline.parameters) {
    if (parameter.default_value)
      all[parameter.name] = converted(pipeline, parameter, *parameter.default_value);
  }
  return all.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace weir::pipeline
