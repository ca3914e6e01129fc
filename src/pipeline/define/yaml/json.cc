#include "pipeline/define/yaml/json.h"

#include <cmath>

#include <nlohmann/json.hpp>

#include "pipeline/define/yaml/scalar.h"

namespace weir::pipeline::yaml {
namespace {

nlohmann::json scalar_json(const Node& node) {
  if (const auto flag = as_boolean(node)) return *flag;
  if (const auto whole = as_integer(node)) return *whole;
  const auto number = as_number(node);
  // A whole number that is too long would be another one as a double.
  const bool fraction = node.text.find_first_of(".eE") != std::string::npos;
  if (number && fraction && std::isfinite(*number)) return *number;
  return node.text;
}

}  // namespace

nlohmann::json to_json(const Node& node) {
  switch (node.kind) {
    case Node::Kind::null: return nullptr;
    case Node::Kind::scalar: return scalar_json(node);
    case Node::Kind::sequence: {
      auto list = nlohmann::json::array();
      for (const Node& item : node.items) list.push_back(to_json(item));
      return list;
    }
    case Node::Kind::mapping: {
      auto object = nlohmann::json::object();
      for (const Member& member : node.members) object[member.key.text] = to_json(member.value);
      return object;
    }
  }
  return nullptr;
}

}  // namespace weir::pipeline::yaml
