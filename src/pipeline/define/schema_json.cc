#include "pipeline/define/schema_json.h"

#include <string>

#include <nlohmann/json.hpp>

namespace weir::pipeline {
namespace {

using Json = nlohmann::ordered_json;

Json object_schema(const Object& object);
Json value_schema(const Key& key);

/// A text may be written without quotes, and then looks like a number.
Json text_schema() { return {{"type", {"string", "number", "boolean"}}}; }

Json words_schema(const Key& key) { return {{"enum", key.words}}; }

Json list_schema(Json item) { return {{"type", "array"}, {"items", std::move(item)}}; }

Json shape_schema(const Key& key, Shape shape) {
  switch (shape) {
    case Shape::text:
    case Shape::scalar: return text_schema();
    case Shape::duration: return {{"type", "string"}, {"pattern", "^[0-9]+(ms|s|m|h|d)$"}};
    case Shape::integer: return {{"type", "integer"}, {"minimum", key.least}, {"maximum", key.most}};
    case Shape::boolean: return {{"type", "boolean"}};
    case Shape::word: return words_schema(key);
    case Shape::texts: {
      Json list = list_schema(text_schema());
      list["minItems"] = 1;
      return {{"anyOf", {text_schema(), list}}};
    }
    case Shape::words: return {{"anyOf", {words_schema(key), list_schema(words_schema(key))}}};
    case Shape::argv: return list_schema(text_schema());
    case Shape::values: return {{"type", "array"}, {"minItems", 1}};
    case Shape::object: return object_schema(*key.object);
    case Shape::objects: return list_schema(object_schema(*key.object));
    case Shape::map: return {{"type", "object"}, {"additionalProperties", value_schema(*key.each)}};
  }
  return Json::object();
}

Json value_schema(const Key& key) {
  Json schema = shape_schema(key, key.shape);
  if (key.instead) schema = {{"anyOf", {shape_schema(key, *key.instead), schema}}};
  if (!key.help.empty()) schema["description"] = key.help;
  return schema;
}

Json required_one_of(std::span<const std::string_view> names) {
  Json list = Json::array();
  for (const std::string_view name : names) list.push_back({{"required", {name}}});
  return list;
}

Json object_schema(const Object& object) {
  Json schema{{"type", "object"}};
  Json required = Json::array();
  Json dependencies = Json::object();
  for (const Key& key : object.keys) {
    const std::string name(key.name);
    schema["properties"][name] = value_schema(key);
    if (key.required) required.push_back(name);
    if (key.beside.empty()) continue;
    Json beside = Json::array();
    for (const std::string_view other : words_between_blanks(key.beside))
      beside.push_back({{"required", {other}}});
    dependencies[name] = {{"anyOf", beside}};
  }
  schema["additionalProperties"] = false;
  if (!required.empty()) schema["required"] = required;
  if (!dependencies.empty()) schema["dependencies"] = dependencies;
  if (!object.one_of.empty()) {
    Json choice = required_one_of(object.one_of);
    if (object.may_lack) choice.push_back({{"not", {{"anyOf", required_one_of(object.one_of)}}}});
    schema["oneOf"] = choice;
  }
  return schema;
}

}  // namespace

Json json_schema(const Object& object, std::string_view title) {
  Json schema{{"$schema", "http://json-schema.org/draft-07/schema#"}, {"title", title}};
  schema.update(object_schema(object));
  return schema;
}

}  // namespace weir::pipeline
