#include "pipeline/task/template.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"
#include "pipeline/time/preview.h"
#include "work/json_members.h"

namespace weir::pipeline {
namespace {

constexpr std::size_t kLargestFile = std::size_t{1} << 20U;
constexpr std::size_t kMostMembers = 10'000;

struct Name {
  std::string_view name;
  enum class Word { none, needed, maybe } word;
  bool secret = false;
};

constexpr std::array<Name, 10> kNames{{{"param", Name::Word::needed},
                                       {"item", Name::Word::maybe},
                                       {"interval_start", Name::Word::none},
                                       {"interval_end", Name::Word::none},
                                       {"logical_time", Name::Word::none},
                                       {"run_id", Name::Word::none},
                                       {"task", Name::Word::none},
                                       {"attempt", Name::Word::none},
                                       {"env", Name::Word::needed, true},
                                       {"file", Name::Word::needed, true}}};

[[noreturn]] void refuse(std::size_t at, const std::string& what, std::string remedy) {
  throw Error(ExitCode::definition, fmt::format("template, column {}: {}", at + 1, what), std::move(remedy));
}

std::string shown(const Name& name) {
  const std::string_view more = name.name == "item"               ? "}, ${item.key"
                                : name.word == Name::Word::needed ? ":..."
                                                                  : "";
  return fmt::format("${{{}{}}}", name.name, more);
}

std::string all_names(TemplateUse use) {
  std::string out;
  for (const Name& name : kNames) {
    if (name.secret && use == TemplateUse::argument) continue;
    out += (out.empty() ? "" : ", ") + shown(name);
  }
  return out;
}

TemplatePart reference(std::string_view inside, std::size_t at, TemplateUse use) {
  // ${item.key} has a dot where the others have a colon.
  const std::size_t end =
      std::min(inside.find_first_of(inside.starts_with("item") ? "." : ":"), inside.size());
  TemplatePart part{.text = {},
                    .name = std::string(inside.substr(0, end)),
                    .word = std::string(inside.substr(std::min(end + 1, inside.size()))),
                    .at = at};
  const auto found =
      std::find_if(kNames.begin(), kNames.end(), [&](const Name& name) { return name.name == part.name; });
  if (found == kNames.end()) {
    std::vector<std::string_view> names;
    for (const Name& name : kNames) names.push_back(name.name);
    const auto guess = closest(part.name, names);
    refuse(at, fmt::format("'${{{}}}' is not known", elide(printable(inside), 60)),
           guess ? fmt::format("Did you mean {}?", *guess)
                 : fmt::format("There are {}; $${{ stands for ${{.", all_names(use)));
  }
  if (found->secret && use == TemplateUse::argument) {
    refuse(
        at,
        fmt::format("'{}:' has no place in an argument, which everybody on the machine can read", part.name),
        "Give it to the program as an environment variable: env:");
  }
  const bool has_word = end < inside.size();
  if (has_word && found->word == Name::Word::none)
    refuse(at, fmt::format("'{}' has nothing behind it", part.name), fmt::format("Write {}", shown(*found)));
  if (part.word.empty() && (has_word || found->word == Name::Word::needed))
    refuse(at, fmt::format("'{}' of what?", part.name), fmt::format("Write {}", shown(*found)));
  return part;
}

bool is_secret(const TemplatePart& part) { return part.name == "env" || part.name == "file"; }

[[noreturn]] void missing(const std::string& what, std::string remedy) {
  throw Error(ExitCode::failed, what, std::move(remedy));
}

/// The member as it stands in the JSON; nothing where there is none, or where it is no object.
std::optional<std::string_view> member_of(std::string_view json, std::string_view key) {
  json = trim(json);
  if (!json.starts_with('{')) return std::nullopt;
  const auto members = work::split_object(json, kMostMembers);
  if (!members) return std::nullopt;
  for (const auto& member : *members)
    if (nlohmann::json::parse(member.key, nullptr, false) == key) return member.value;
  return std::nullopt;
}

std::string param(const std::string& name, const TaskContext& context) {
  const auto value = member_of(context.params, name);
  if (!value || *value == "null") {
    missing(fmt::format("the run has no parameter '{}'", printable(name)),
            "Declare it under params:, or start the run with --param " + printable(name) + "=..");
  }
  return text_of_json(*value);
}

std::string item(const std::string& path, const TaskContext& context) {
  if (!context.item) missing("${item} in a task that is not mapped", "It stands for an element of map:");
  std::optional<std::string_view> value = *context.item;
  std::string_view rest = path;
  while (value && !rest.empty()) {
    const std::size_t end = std::min(rest.find('.'), rest.size());
    value = member_of(*value, rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (!value) missing(fmt::format("the item has no '{}'", printable(path)), "See the rows of map:");
  return text_of_json(*value);
}

std::string file(const std::string& name, const std::filesystem::path& project) {
  std::ifstream in(project / name, std::ios::binary);
  std::string text;
  text.resize(kLargestFile + 1);
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad() || (!in.eof() && !in) || !in.is_open())
    missing(fmt::format("the file '{}' of ${{file:..}} cannot be read", printable(name)),
            "Its path is relative to the project.");
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > kLargestFile)
    missing(fmt::format("the file '{}' is larger than {}", printable(name), human_bytes(kLargestFile)),
            "Pass its path instead.");
  // An editor ends the line; nobody means that as a part of a password.
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  return text;
}

std::string value_of(const TemplatePart& part, const TaskContext& context,
                     const std::filesystem::path& project) {
  if (part.name == "param") return param(part.word, context);
  if (part.name == "item") return item(part.word, context);
  if (part.name == "interval_start") return utc_text(context.interval.from);
  if (part.name == "interval_end") return utc_text(context.interval.to);
  if (part.name == "logical_time") return utc_text(context.logical_time);
  if (part.name == "run_id") return std::to_string(context.run);
  if (part.name == "task") return context.task;
  if (part.name == "attempt") return std::to_string(context.attempt);
  if (part.name == "file") return file(part.word, project);
  const char* const value = std::getenv(part.word.c_str());
  if (value == nullptr)
    missing(fmt::format("the environment variable {} is not set", printable(part.word)),
            "It has to be set where weir runs.");
  return value;
}

}  // namespace

std::vector<TemplatePart> parse_template(std::string_view text, TemplateUse use) {
  std::vector<TemplatePart> parts;
  std::string plain;
  const auto flush = [&] {
    if (!plain.empty()) parts.push_back({.text = std::exchange(plain, {})});
  };
  for (std::size_t at = 0; at < text.size();) {
    if (text.substr(at, 3) == "$${") {
      plain += "${";
      at += 3;
    } else if (text.substr(at, 2) == "${") {
      const std::size_t end = text.find('}', at);
      if (end == std::string_view::npos) refuse(at, "'${' has no end", "Close it with }, or write $${");
      flush();
      parts.push_back(reference(text.substr(at + 2, end - at - 2), at, use));
      at = end + 1;
    } else {
      plain += text[at++];
    }
  }
  flush();
  return parts;
}

bool has_secrets(std::string_view text) {
  const std::vector<TemplatePart> parts = parse_template(text, TemplateUse::value);
  return std::any_of(parts.begin(), parts.end(), is_secret);
}

std::string bind_template(std::string_view text, TemplateUse use, const TaskContext& context,
                          const std::filesystem::path& project, SecretKeeper* keeper) {
  std::string out;
  for (const TemplatePart& part : parse_template(text, use)) {
    const std::string value = part.name.empty() ? part.text : value_of(part, context, project);
    if (keeper != nullptr && is_secret(part))
      keeper->keep(value, fmt::format("${{{}:{}}}", part.name, part.word));
    out += value;
  }
  if (out.find('\0') != std::string::npos)
    missing("a value has a zero byte, which no program can be given", "");
  return out;
}

std::string text_of_json(std::string_view json) {
  json = trim(json);
  if (!json.starts_with('"')) return std::string(json);
  const auto parsed = nlohmann::json::parse(json, nullptr, false);
  return parsed.is_string() ? parsed.get<std::string>() : std::string(json);
}

}  // namespace weir::pipeline
