#include "pipeline/define/fields.h"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"
#include "pipeline/define/yaml/scalar.h"

namespace weir::pipeline {
namespace {

/// "a, b or c"
std::string one_of_text(std::span<const std::string_view> words) {
  if (words.size() == 1) return std::string(words.front());
  return fmt::format("{} or {}", fmt::join(words.first(words.size() - 1), ", "), words.back());
}

std::string_view wanted(Shape shape) noexcept {
  switch (shape) {
    case Shape::text: return "a text";
    case Shape::duration: return "a time such as 30s, 5m or 2h";
    case Shape::integer: return "a whole number";
    case Shape::boolean: return "true or false";
    case Shape::word: return "a word";
    case Shape::texts:
    case Shape::words: return "a text or a list of texts";
    case Shape::argv: return "a list of texts";
    case Shape::values: return "a list";
    case Shape::scalar: return "a text, a number, true or false";
    case Shape::object:
    case Shape::map: return "a mapping";
    case Shape::objects: return "a list of mappings";
  }
  return "";
}

/// What stands there, in words: a plain `no` is no boolean, and this says why.
std::string found(const yaml::Node& node) {
  return node.is_scalar() ? in_quotes(node.text) : std::string(yaml::describe(node));
}

void refuse_form(Reading& reading, const yaml::Node& node, std::string_view what, Shape shape,
                 std::optional<Shape> instead = {}) {
  std::string remedy;
  const bool word = node.is_scalar() && !node.quoted &&
                    (node.text == "yes" || node.text == "no" || node.text == "on" || node.text == "off");
  if (shape == Shape::boolean && word) remedy = "YAML 1.2 knows true and false alone.";
  if (shape == Shape::boolean && node.is_scalar() && node.quoted) remedy = "Take the quotes away.";
  const std::string forms =
      instead ? fmt::format("{} or {}", wanted(*instead), wanted(shape)) : std::string(wanted(shape));
  reading.error(node, fmt::format("{} must be {}, and is {}", what, forms, found(node)), remedy);
}

std::string key_text(const Key& key) { return fmt::format("'{}'", key.name); }

}  // namespace

Fields::Fields(Reading& reading, const yaml::Node& node, const Object& object)
    : reading_(&reading), node_(node), object_(&object) {
  if (!node.is_mapping()) {
    refuse_form(reading, node, object.what, Shape::object);
    return;
  }
  for (const yaml::Member& member : node.members) {
    if (object.find(member.key.text) == nullptr) refuse_unknown(member.key);
  }
  for (const Key& key : object.keys) {
    if (key.required && node.find(key.name) == nullptr) {
      reading.error(node, fmt::format("{} needs '{}'", object.what, key.name));
    }
  }
  find_kind();
  check_beside();
}

void Fields::refuse_unknown(const yaml::Node& key) {
  std::vector<std::string_view> known;
  for (const Key& one : object_->keys) known.push_back(one.name);
  reading_->error(
      key, fmt::format("{} has no key {}", object_->what, in_quotes(key.text)),
      reading_->suggest(key.text, known, fmt::format("Its keys are {}.", fmt::join(known, ", "))));
}

void Fields::find_kind() {
  std::vector<std::string_view> there;
  for (const std::string_view name : object_->one_of) {
    if (node_.find(name) != nullptr) there.push_back(name);
  }
  if (there.size() == 1) kind_ = there.front();
  if (there.size() > 1) {
    const auto second =
        std::find_if(node_.members.begin(), node_.members.end(), [&](const yaml::Member& member) {
          return member.key.text != there.front() &&
                 std::find(there.begin(), there.end(), member.key.text) != there.end();
        });
    reading_->error(second->key,
                    fmt::format("{} has one of '{}', not several", object_->what, fmt::join(there, "', '")));
  }
  if (there.empty() && !object_->may_lack && !object_->one_of.empty()) {
    reading_->error(node_, fmt::format("{} needs {}", object_->what, one_of_text(object_->one_of)));
  }
}

void Fields::check_beside() {
  for (const yaml::Member& member : node_.members) {
    const Key* const key = object_->find(member.key.text);
    if (key == nullptr || key->beside.empty()) continue;
    const auto allowed = words_between_blanks(key->beside);
    const bool there =
        std::any_of(allowed.begin(), allowed.end(), [&](auto name) { return node_.find(name) != nullptr; });
    // Where the kind itself is missing or unclear, that has been said.
    if (there || (!object_->one_of.empty() && !object_->may_lack && kind_.empty())) continue;
    reading_->error(member.key,
                    fmt::format("'{}' has a meaning beside {} alone", key->name, one_of_text(allowed)));
  }
}

const Key& Fields::key(std::string_view name, Shape shape) const {
  const Key* const found = object_->find(name);
  if (found == nullptr || (found->shape != shape && found->instead != shape)) {
    throw std::logic_error(fmt::format("{} has no key {} of this shape", object_->what, name));
  }
  return *found;
}

const yaml::Node* Fields::value(std::string_view name) const {
  if (object_->find(name) == nullptr) {
    throw std::logic_error(fmt::format("{} has no key {}", object_->what, name));
  }
  const yaml::Member* const member = node_.find(name);
  return member == nullptr ? nullptr : &member->value;
}

const yaml::Node& Fields::place(std::string_view name) const {
  const yaml::Node* const found = value(name);
  return found == nullptr ? node_ : *found;
}

std::optional<Said> Fields::text(std::string_view name) {
  const Key& spec = key(name, Shape::text);
  const yaml::Node* const node = value(name);
  if (node == nullptr) return {};
  if (!node->is_scalar() && spec.instead) {
    refuse_form(*reading_, *node, key_text(spec), spec.shape, spec.instead);
    return {};
  }
  return read_text(*reading_, *node, key_text(spec));
}

std::optional<Duration> Fields::duration(std::string_view name) {
  const Key& spec = key(name, Shape::duration);
  const yaml::Node* const node = value(name);
  if (node == nullptr) return {};
  const auto span = node->is_scalar() ? parse_duration(node->text) : std::nullopt;
  if (!span) refuse_form(*reading_, *node, key_text(spec), Shape::duration);
  if (span && *span <= Duration::zero()) {
    reading_->error(*node, fmt::format("'{}' must be longer than nothing", spec.name));
    return {};
  }
  return span;
}

std::optional<std::int64_t> Fields::integer(std::string_view name) {
  const Key& spec = key(name, Shape::integer);
  const yaml::Node* const node = value(name);
  if (node == nullptr) return {};
  if (!node->is_scalar() && spec.instead) {
    refuse_form(*reading_, *node, key_text(spec), spec.shape, spec.instead);
    return {};
  }
  return read_integer(*reading_, *node, key_text(spec), spec.least, spec.most);
}

std::optional<bool> Fields::boolean(std::string_view name) {
  const Key& spec = key(name, Shape::boolean);
  const yaml::Node* const node = value(name);
  if (node == nullptr) return {};
  const auto flag = yaml::as_boolean(*node);
  if (!flag) refuse_form(*reading_, *node, key_text(spec), Shape::boolean);
  return flag;
}

std::optional<std::size_t> Fields::word(std::string_view name) {
  const Key& spec = key(name, Shape::word);
  const yaml::Node* const node = value(name);
  if (node == nullptr) return {};
  const auto known =
      node->is_scalar() ? std::find(spec.words.begin(), spec.words.end(), node->text) : spec.words.end();
  if (known != spec.words.end()) return static_cast<std::size_t>(known - spec.words.begin());
  reading_->error(
      *node,
      fmt::format("'{}' is {}, which is none of: {}", spec.name, found(*node), fmt::join(spec.words, ", ")),
      node->is_scalar() ? reading_->suggest(node->text, spec.words) : std::string());
  return {};
}

std::vector<Said> Fields::words(std::string_view name) {
  const Key& spec = key(name, Shape::words);
  std::vector<Said> all;
  const yaml::Node* const node = value(name);
  if (node == nullptr) return all;
  const auto take = [&](const yaml::Node& item) {
    if (item.is_scalar() && std::find(spec.words.begin(), spec.words.end(), item.text) != spec.words.end()) {
      all.push_back({item.text, &item});
      return;
    }
    reading_->error(
        item,
        fmt::format("'{}' has {}, which is none of: {}", spec.name, found(item), fmt::join(spec.words, ", ")),
        item.is_scalar() ? reading_->suggest(item.text, spec.words) : std::string());
  };
  if (!node->is_sequence()) {
    take(*node);
  } else {
    for (const yaml::Node& item : node->items) take(item);
  }
  return all;
}

std::vector<Said> Fields::texts(std::string_view name) {
  const Key* spec = object_->find(name);
  spec = &key(name, spec != nullptr && spec->shape == Shape::argv ? Shape::argv : Shape::texts);
  std::vector<Said> all;
  const yaml::Node* const node = value(name);
  if (node == nullptr) return all;
  const bool alone = spec->shape == Shape::texts && node->is_scalar();
  if (!node->is_sequence() && !alone) {
    const bool command = spec->shape == Shape::argv && node->is_scalar();
    reading_->error(*node,
                    fmt::format("'{}' must be {}, and is {}", spec->name, wanted(spec->shape), found(*node)),
                    command ? "Write [PROGRAM, ARGUMENT, ..]; for a line of a shell there is 'shell'." : "");
    return all;
  }
  const auto take = [&](const yaml::Node& item) {
    // An empty argument is one.
    if (spec->shape == Shape::argv && item.is_scalar()) {
      all.push_back({item.text, &item});
    } else if (auto text = read_text(*reading_, item, fmt::format("an entry of '{}'", spec->name))) {
      all.push_back(std::move(*text));
    }
  };
  if (alone) {
    take(*node);
  } else {
    if (node->items.empty()) reading_->error(*node, fmt::format("'{}' has no entries", spec->name));
    for (const yaml::Node& item : node->items) take(item);
  }
  return all;
}

std::vector<const yaml::Node*> Fields::values(std::string_view name) {
  const Key& spec = key(name, Shape::values);
  std::vector<const yaml::Node*> all;
  const yaml::Node* const node = value(name);
  if (node == nullptr) return all;
  if (!node->is_sequence()) {
    refuse_form(*reading_, *node, key_text(spec), spec.shape, spec.instead);
  } else if (node->items.empty()) {
    reading_->error(*node, fmt::format("'{}' has no entries", spec.name));
  }
  for (const yaml::Node& item : node->items) all.push_back(&item);
  return all;
}

std::optional<Fields> Fields::object(std::string_view name) {
  const Key& spec = key(name, Shape::object);
  const yaml::Node* const node = value(name);
  if (node == nullptr) return {};
  if (node->is_mapping()) return Fields(*reading_, *node, *spec.object);
  refuse_form(*reading_, *node, key_text(spec), Shape::object, spec.instead);
  return {};
}

std::vector<Fields> Fields::objects(std::string_view name) {
  const Key& spec = key(name, Shape::objects);
  std::vector<Fields> all;
  const yaml::Node* const node = value(name);
  if (node == nullptr) return all;
  if (!node->is_sequence()) refuse_form(*reading_, *node, key_text(spec), Shape::objects);
  for (const yaml::Node& item : node->items) {
    Fields fields(*reading_, item, *spec.object);
    if (item.is_mapping()) all.push_back(std::move(fields));
  }
  return all;
}

std::vector<const yaml::Member*> Fields::members(std::string_view name) {
  const Key& spec = key(name, Shape::map);
  std::vector<const yaml::Member*> all;
  const yaml::Node* const node = value(name);
  if (node == nullptr) return all;
  if (!node->is_mapping()) refuse_form(*reading_, *node, key_text(spec), Shape::map);
  for (const yaml::Member& member : node->members) all.push_back(&member);
  return all;
}

std::optional<Said> read_text(Reading& reading, const yaml::Node& node, std::string_view what) {
  if (!node.is_scalar()) {
    refuse_form(reading, node, what, Shape::text);
    return {};
  }
  if (trim(node.text).empty()) {
    reading.error(node, fmt::format("{} is empty", what));
    return {};
  }
  return Said{node.text, &node};
}

std::optional<std::int64_t> read_integer(Reading& reading, const yaml::Node& node, std::string_view what,
                                         std::int64_t least, std::int64_t most) {
  const auto number = yaml::as_integer(node);
  if (!number) {
    refuse_form(reading, node, what, Shape::integer);
    return {};
  }
  if (*number >= least && *number <= most) return number;
  reading.error(node, fmt::format("{} is {}, which is not from {} to {}", what, *number, least, most));
  return {};
}

std::vector<std::string> texts_of(const std::vector<Said>& all) {
  std::vector<std::string> texts;
  texts.reserve(all.size());
  for (const Said& one : all) texts.push_back(one.text);
  return texts;
}

}  // namespace weir::pipeline
