#include "pipeline/define/head_reader.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "pipeline/define/instant_text.h"
#include "pipeline/define/names.h"
#include "pipeline/define/schedule_check.h"
#include "pipeline/define/yaml/scalar.h"

namespace weir::pipeline {
namespace {

std::optional<WallTime> read_instant(Reading& reading, Fields& fields, std::string_view name,
                                     const std::string& zone) {
  const auto said = fields.text(name);
  if (!said) return {};
  const auto instant = parse_instant(said->text, zone);
  if (!instant) {
    reading.error(*said->node,
                  fmt::format("'{}' is {}, which is no date or time", name, in_quotes(said->text)),
                  "Write 2026-01-31 or \"2026-01-31 06:00\".");
  }
  return instant;
}

/// The text of a value of the type; nothing when it is none.
std::optional<std::string> value_text(const yaml::Node& node, Parameter::Type type) {
  if (!node.is_scalar()) return {};
  switch (type) {
    case Parameter::Type::string: return node.text;
    case Parameter::Type::integer: {
      const auto number = yaml::as_integer(node);
      return number ? std::optional(std::to_string(*number)) : std::nullopt;
    }
    case Parameter::Type::number: return yaml::as_number(node) ? std::optional(node.text) : std::nullopt;
    case Parameter::Type::boolean: {
      const auto flag = yaml::as_boolean(node);
      return flag ? std::optional<std::string>(*flag ? "true" : "false") : std::nullopt;
    }
    case Parameter::Type::date: return is_date_text(node.text) ? std::optional(node.text) : std::nullopt;
    case Parameter::Type::timestamp:
      return is_timestamp_text(node.text) ? std::optional(node.text) : std::nullopt;
  }
  return {};
}

Parameter::Type type_of(const yaml::Node& node) {
  if (yaml::as_boolean(node)) return Parameter::Type::boolean;
  if (yaml::as_integer(node)) return Parameter::Type::integer;
  return yaml::as_number(node) ? Parameter::Type::number : Parameter::Type::string;
}

/// whose: "the default"
void refuse_value(Reading& reading, std::string_view whose, const yaml::Node& node, Parameter::Type type) {
  const std::string what = node.is_scalar() ? in_quotes(node.text) : std::string(yaml::describe(node));
  const std::string_view word = parameter_type_words()[static_cast<std::size_t>(type)];
  reading.error(node, fmt::format("{} {} is no value of type {}", whose, what, word));
}

Parameter read_parameter(Reading& reading, const yaml::Member& member) {
  Parameter parameter{.name = member.key.text};
  if (member.value.is_scalar()) {
    parameter.type = type_of(member.value);
    parameter.default_value = value_text(member.value, parameter.type);
    return parameter;
  }
  // `day:` with nothing behind it is a text that must be given.
  if (member.value.is_null()) return parameter;
  Fields fields(reading, member.value, parameter_object());
  if (const auto type = fields.word("type")) parameter.type = static_cast<Parameter::Type>(*type);
  for (const yaml::Node* const choice : fields.values("choices")) {
    if (auto text = value_text(*choice, parameter.type)) {
      parameter.choices.push_back(std::move(*text));
    } else {
      refuse_value(reading, "the choice", *choice, parameter.type);
    }
  }
  const yaml::Node* const node = fields.value("default");
  if (node == nullptr) return parameter;
  parameter.default_value = value_text(*node, parameter.type);
  if (!parameter.default_value) {
    refuse_value(reading, "the default", *node, parameter.type);
  } else if (!parameter.choices.empty() && std::find(parameter.choices.begin(), parameter.choices.end(),
                                                     parameter.default_value) == parameter.choices.end()) {
    reading.error(*node, fmt::format("the default {} is none of the choices: {}", in_quotes(node->text),
                                     fmt::join(parameter.choices, ", ")));
  }
  return parameter;
}

}  // namespace

ScheduleDefinition read_schedule(Reading& reading, Fields& pipeline, std::vector<Position>& datasets) {
  ScheduleDefinition schedule;
  const yaml::Node* const node = pipeline.value("schedule");
  if (node == nullptr) return schedule;
  SchedulePositions positions{reading.at(*node), reading.at(*node), reading.at(*node)};
  if (!node->is_mapping()) {
    const auto cron = pipeline.text("schedule");
    if (!cron) return schedule;
    schedule.cron = cron->text;
    positions.cron = reading.within(*cron->node, cron->text);
    check_schedule(schedule, reading.diagnostics(), positions);
    return schedule;
  }
  Fields fields = *pipeline.object("schedule");
  const auto cron = fields.text("cron");
  if (cron) schedule.cron = cron->text;
  schedule.every = fields.duration("every");
  for (const Said& dataset : fields.texts("datasets")) {
    schedule.datasets.push_back(dataset.text);
    datasets.push_back(reading.at(*dataset.node));
  }
  if (const auto zone = fields.text("timezone")) schedule.timezone = zone->text;
  if (const auto missed = fields.word("missed")) schedule.missed = static_cast<Missed>(*missed);
  if (auto dst = fields.object("dst")) {
    if (const auto gap = dst->word("gap")) schedule.dst.gap = static_cast<DstRule::Gap>(*gap);
    if (const auto overlap = dst->word("overlap"))
      schedule.dst.overlap = static_cast<DstRule::Overlap>(*overlap);
  }
  schedule.start = read_instant(reading, fields, "start", schedule.timezone);
  schedule.end = read_instant(reading, fields, "end", schedule.timezone);
  positions = {cron ? reading.within(*cron->node, cron->text) : reading.at(fields.node()),
               reading.at(fields.place("timezone")), reading.at(fields.place("end"))};
  check_schedule(schedule, reading.diagnostics(), positions);
  return schedule;
}

std::vector<Parameter> read_parameters(Reading& reading, Fields& pipeline) {
  std::vector<Parameter> parameters;
  for (const yaml::Member* const member : pipeline.members("parameters")) {
    if (!is_variable_name(member->key.text)) {
      reading.error(member->key,
                    fmt::format("{} cannot be the name of a parameter", in_quotes(member->key.text)),
                    "A letter or _ comes first, then letters, digits and _.");
    }
    parameters.push_back(read_parameter(reading, *member));
  }
  return parameters;
}

}  // namespace weir::pipeline
