#include "pipeline/define/placeholder.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"

namespace weir::pipeline {
namespace {

using std::string_view_literals::operator""sv;
using Kind = Placeholder::Kind;

constexpr std::array kTimes{"interval_start"sv, "interval_end"sv, "logical_time"sv};
constexpr std::array kKnown{"item"sv, "interval_start"sv, "interval_end"sv, "logical_time"sv, "run_id"sv};
constexpr std::array kNamed{"env"sv, "file"sv, "param"sv};

Placeholder classify(std::string_view inner) {
  const auto named = [&](Kind kind, std::string_view prefix) {
    const std::string_view name = inner.substr(prefix.size());
    return Placeholder{name.empty() ? Kind::unknown : kind, std::string(name)};
  };
  if (inner.starts_with("env:")) return named(Kind::env, "env:");
  if (inner.starts_with("file:")) return named(Kind::file, "file:");
  if (inner.starts_with("param:")) return named(Kind::param, "param:");
  if (inner == "item") return {Kind::item, ""};
  if (inner.starts_with("item.")) return named(Kind::item, "item.");
  if (inner == "run_id") return {Kind::run_id, ""};
  const bool time = std::find(kTimes.begin(), kTimes.end(), inner) != kTimes.end();
  return {time ? Kind::time : Kind::unknown, std::string(inner)};
}

/// What may have been meant by something in ${..}.
std::string near(Reading& reading, std::string_view inner) {
  constexpr const char* kItself = "A '${' that stands for itself is written '$${'.";
  const std::size_t colon = inner.find(':');
  if (colon == std::string_view::npos) {
    if (!inner.empty() && inner.front() >= 'A' && inner.front() <= 'Z') {
      return fmt::format("Did you mean '${{env:{}}}'? {}", inner, kItself);
    }
    return reading.suggest(inner, kKnown, kItself);
  }
  const auto kind = closest(inner.substr(0, colon), kNamed);
  return kind ? fmt::format("Did you mean '${{{}{}}}'?", *kind, inner.substr(colon)) : kItself;
}

/// `message` and `remedy` for one that cannot stand there; empty when it can.
std::pair<std::string, std::string> judge(Reading& reading, const Placeholder& one, const Allowed& allowed) {
  const std::string text = in_quotes(one.written);
  switch (one.kind) {
    case Kind::literal: return {};
    case Kind::unknown: return {fmt::format("there is no {}", text), near(reading, one.name)};
    case Kind::env:
    case Kind::file:
      if (allowed.secrets) return {};
      return {fmt::format("{} cannot be used here, where others see it", text),
              "It may stand in connections, in 'env', in 'source' and in 'to'."};
    case Kind::param: {
      if (!allowed.values)
        return {fmt::format("{} is not replaced here", text), "It may stand in 'run', 'env' and paths."};
      if (allowed.parameters->contains(one.name)) return {};
      const std::vector<std::string_view> known(allowed.parameters->begin(), allowed.parameters->end());
      return {fmt::format("the pipeline has no parameter {}", in_quotes(one.name)),
              reading.suggest(one.name, known, "Add it to 'parameters'.")};
    }
    case Kind::item:
      if (!allowed.values)
        return {fmt::format("{} is not replaced here", text), "It may stand in 'run', 'env' and paths."};
      if (allowed.item) return {};
      return {fmt::format("{} has a meaning in a task with 'map' alone", text), ""};
    case Kind::time:
    case Kind::run_id:
      if (allowed.times) return {};
      return {fmt::format("{} is not replaced here", text), "It may stand in 'run', 'env' and paths."};
  }
  return {};
}

}  // namespace

std::vector<Placeholder> split_placeholders(std::string_view text) {
  std::vector<Placeholder> pieces;
  std::string literal;
  std::size_t closings = static_cast<std::size_t>(std::count(text.begin(), text.end(), '}'));
  const auto flush = [&] {
    if (!literal.empty()) pieces.push_back({Kind::literal, std::exchange(literal, {})});
  };
  while (!text.empty()) {
    if (text.starts_with("$${")) {
      literal += "${";
      text.remove_prefix(3);
      continue;
    }
    // One that is never closed stands for itself.
    if (closings == 0 || !text.starts_with("${")) {
      if (text.front() == '}') --closings;
      literal += text.front();
      text.remove_prefix(1);
      continue;
    }
    flush();
    const std::size_t end = text.find('}');
    --closings;
    pieces.push_back(classify(text.substr(2, end - 2)));
    pieces.back().written = text.substr(0, end + 1);
    text.remove_prefix(end + 1);
  }
  flush();
  return pieces;
}

void check_placeholders(Reading& reading, const Said& said, const Allowed& allowed) {
  std::map<std::string, std::size_t> seen;
  for (const Placeholder& one : split_placeholders(said.text)) {
    auto [message, remedy] = judge(reading, one, allowed);
    const std::size_t nth = seen[one.written]++;
    // The same mistake in one text is told once.
    if (!message.empty() && nth == 0) {
      reading.error(reading.within(*said.node, one.written), std::move(message), std::move(remedy));
    }
  }
}

void refuse_placeholders(Reading& reading, const Said& said, bool shell) {
  std::set<std::string> seen;
  for (const Placeholder& one : split_placeholders(said.text)) {
    // A shell has ${run_id} of its own, maybe; a statement has no use for any.
    const bool item = one.kind == Kind::item && (!shell || !one.name.empty());
    const bool relied = one.kind == Kind::env || one.kind == Kind::file || one.kind == Kind::param || item ||
                        ((one.kind == Kind::time || one.kind == Kind::run_id) && !shell);
    if (!relied || !seen.insert(one.written).second) continue;
    const Position place = reading.within(*said.node, one.written);
    if (shell) {
      reading.error(place, fmt::format("{} is not replaced in a script", in_quotes(one.written)),
                    fmt::format("Give it to the script as a variable: env: {{X: \"{}\"}}, and there \"$X\".",
                                one.written));
    } else {
      reading.error(place, fmt::format("{} is not replaced in SQL", in_quotes(one.written)),
                    one.kind == Kind::param ? fmt::format("Write weir.param('{}').", one.name)
                                            : "Values reach SQL by functions: see docs/pipelines.md.");
    }
  }
}

void refuse_placeholders(Reading& file) {
  const yaml::Node whole{.kind = yaml::Node::Kind::scalar, .place = {1, 1}};
  refuse_placeholders(file, {std::string(file.source()), &whole}, false);
}

}  // namespace weir::pipeline
