#include "load/read/singer_schema.h"

#include <algorithm>
#include <optional>
#include <set>
#include <unordered_set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace weir::load {
namespace {

using Json = nlohmann::ordered_json;

/// A schema that refers to itself describes values of any depth: these are jsonb.
constexpr int kMaxDepth = 32;

struct Fault {
  std::string reason;
};

/// What a property may be, all alternatives together.
struct Facts {
  std::set<Base> scalars;
  bool composite = false;            // an object or an array
  bool open = false;                 // anything at all
  const Json* properties = nullptr;  // of the object, where it is one with known parts
  std::set<BytesAs> bytes_as;
};

class Reader {
 public:
  Reader(const Json& root, const SingerSchemaOptions& options) : root_(root), options_(options) {}

  std::vector<SingerColumn> run() {
    const Json& top = resolve(root_, 0);
    const Json* properties = member(top, "properties");
    if (properties == nullptr || !properties->is_object()) throw Fault{"it has no properties"};
    std::vector<std::string> path;
    add_properties(*properties, path);
    if (options_.soft_delete && !names_.contains(std::string(kDeletedAt))) {
      add({std::string(kDeletedAt)}, Base::timestamptz, BytesAs::text);
    }
    return std::move(columns_);
  }

 private:
  static const Json* member(const Json& node, const char* key) {
    if (!node.is_object()) return nullptr;
    const auto found = node.find(key);
    return found == node.end() ? nullptr : &*found;
  }

  const Json& resolve(const Json& node, int depth) const {
    const Json* reference = member(node, "$ref");
    if (reference == nullptr) return node;
    const std::string target = reference->is_string() ? reference->get<std::string>() : reference->dump();
    if (depth > kMaxDepth) throw Fault{fmt::format("the reference '{}' leads round in a circle", target)};
    try {
      if (target.starts_with('#')) return resolve(root_.at(Json::json_pointer(target.substr(1))), depth + 1);
    } catch (const nlohmann::json::exception&) {
      throw Fault{fmt::format("there is nothing at the reference '{}'", target)};
    }
    throw Fault{fmt::format("the reference '{}' leads out of the schema", target)};
  }

  void add_properties(const Json& properties, std::vector<std::string>& path) {
    for (const auto& [key, property] : properties.items()) {
      path.push_back(key);
      Facts facts;
      collect(property, facts, 0);
      const bool inside = facts.composite && !facts.open && facts.scalars.empty() &&
                          facts.properties != nullptr && !facts.properties->empty() &&
                          path.size() <= options_.flatten;
      if (inside) {
        add_properties(*facts.properties, path);
      } else {
        add(path, base_of(facts), facts.bytes_as.size() == 1 ? *facts.bytes_as.begin() : BytesAs::text);
      }
      path.pop_back();
    }
  }

  void add(const std::vector<std::string>& path, Base base, BytesAs bytes_as) {
    std::string name;
    for (const std::string& key : path) name += (name.empty() ? "" : "__") + key;
    if (!names_.insert(name).second) {
      throw Fault{fmt::format("two of its properties become the column '{}'", printable(name))};
    }
    columns_.push_back({.name = std::move(name),
                        .path = path,
                        .type = type_of(base),
                        .bytes_as = base == Base::bytea ? bytes_as : BytesAs::text});
  }

  void collect(const Json& given, Facts& facts, int depth) const {
    if (depth > kMaxDepth) {
      facts.open = true;
      return;
    }
    const Json& node = resolve(given, 0);
    bool said = false;
    for (const char* word : {"anyOf", "oneOf", "allOf"}) {
      const Json* choices = member(node, word);
      if (choices == nullptr || !choices->is_array()) continue;
      said = true;
      for (const Json& choice : *choices) collect(choice, facts, depth + 1);
    }
    if (const Json* types = member(node, "type")) {
      said = true;
      if (types->is_array()) {
        for (const Json& type : *types) collect_type(type, node, facts);
      } else {
        collect_type(*types, node, facts);
      }
      return;
    }
    if (said) return;
    if (const Json* values = member(node, "enum");
        values != nullptr && values->is_array() && !values->empty()) {
      for (const Json& value : *values) collect_value(value, facts);
    } else if (const Json* value = member(node, "const")) {
      collect_value(*value, facts);
    } else if (member(node, "properties") != nullptr) {
      collect_type("object", node, facts);
    } else {
      facts.open = true;
    }
  }

  static void collect_type(const Json& type, const Json& node, Facts& facts) {
    const std::string word = type.is_string() ? type.get<std::string>() : "";
    if (word == "null") return;
    if (word == "string") {
      collect_string(node, facts);
    } else if (word == "integer") {
      facts.scalars.insert(integer(node));
    } else if (word == "number") {
      facts.scalars.insert(Base::numeric);
    } else if (word == "boolean") {
      facts.scalars.insert(Base::boolean);
    } else if (word == "object") {
      facts.composite = true;
      const Json* properties = member(node, "properties");
      // Two kinds of objects have no common parts to make columns of.
      if (facts.properties != nullptr || properties == nullptr || !properties->is_object()) {
        facts.open = true;
      } else {
        facts.properties = properties;
      }
    } else if (word == "array") {
      facts.composite = true;
      facts.open = true;
    } else {
      facts.open = true;
    }
  }

  static void collect_string(const Json& node, Facts& facts) {
    const auto word = [&](const char* key) {
      const Json* value = member(node, key);
      return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
    };
    const std::string encoding = word("contentEncoding");
    const std::string format = word("format");
    if (encoding == "base16" || encoding == "base64") {
      facts.bytes_as.insert(encoding == "base16" ? BytesAs::base16 : BytesAs::base64);
      facts.scalars.insert(Base::bytea);
    } else if (format == "date-time") {
      facts.scalars.insert(Base::timestamptz);
    } else if (format == "date") {
      facts.scalars.insert(Base::date);
    } else if (format == "time") {
      facts.scalars.insert(Base::time);
    } else if (format == "uuid") {
      facts.scalars.insert(Base::uuid);
    } else if (format == "singer.decimal") {
      facts.scalars.insert(Base::numeric);
    } else {
      facts.scalars.insert(Base::text);
    }
  }

  static void collect_value(const Json& value, Facts& facts) {
    if (value.is_string()) {
      facts.scalars.insert(Base::text);
    } else if (value.is_boolean()) {
      facts.scalars.insert(Base::boolean);
    } else if (value.is_number()) {
      facts.scalars.insert(Base::numeric);
    } else if (!value.is_null()) {
      facts.open = true;
    }
  }

  /// Without bounds int8, as wide as taps' integers are; a bound that it cannot reach makes it numeric.
  static Base integer(const Json& node) {
    std::optional<double> low;
    std::optional<double> high;
    for (const char* key : {"minimum", "exclusiveMinimum"}) {
      if (const Json* bound = member(node, key); bound != nullptr && bound->is_number())
        low = bound->get<double>();
    }
    for (const char* key : {"maximum", "exclusiveMaximum"}) {
      if (const Json* bound = member(node, key); bound != nullptr && bound->is_number())
        high = bound->get<double>();
    }
    // As doubles: the largest int8 becomes 2^63, which then still counts as its own bound.
    constexpr double kInt8 = 9223372036854775808.0;
    if ((low && *low < -kInt8) || (high && *high > kInt8)) return Base::numeric;
    if (!low || !high) return Base::int8;
    if (*low >= -32768 && *high <= 32767) return Base::int2;
    if (*low >= -2147483648.0 && *high <= 2147483647.0) return Base::int4;
    return Base::int8;
  }

  static Base base_of(const Facts& facts) {
    if (facts.open || facts.composite || facts.scalars.empty()) return Base::jsonb;
    if (facts.bytes_as.size() > 1) return Base::text;
    if (facts.scalars.size() == 1) return *facts.scalars.begin();
    const auto all_of = [&](std::initializer_list<Base> some) {
      return std::all_of(facts.scalars.begin(), facts.scalars.end(),
                         [&](Base base) { return std::find(some.begin(), some.end(), base) != some.end(); });
    };
    if (all_of({Base::int2, Base::int4})) return Base::int4;
    if (all_of({Base::int2, Base::int4, Base::int8})) return Base::int8;
    if (all_of({Base::int2, Base::int4, Base::int8, Base::numeric})) return Base::numeric;
    return Base::text;
  }

  const Json& root_;
  SingerSchemaOptions options_;
  std::vector<SingerColumn> columns_;
  std::unordered_set<std::string> names_;
};

}  // namespace

tl::expected<SingerSchema, std::string> parse_singer_schema(std::string_view schema,
                                                            std::string_view key_properties,
                                                            const SingerSchemaOptions& options) {
  SingerSchema result;
  try {
    const Json root = Json::parse(schema);
    result.columns = Reader(root, options).run();
    if (key_properties.empty()) return result;
    const Json keys = Json::parse(key_properties);
    if (!keys.is_array()) return tl::unexpected(std::string("its key_properties are no array"));
    for (const Json& key : keys) {
      const std::string name = key.is_string() ? key.get<std::string>() : key.dump();
      const auto found = std::find_if(result.columns.begin(), result.columns.end(),
                                      [&](const SingerColumn& column) { return column.name == name; });
      if (found == result.columns.end()) {
        return tl::unexpected(
            fmt::format("its key property '{}' is none of its properties", printable(name)));
      }
      result.keys.push_back(static_cast<std::size_t>(found - result.columns.begin()));
    }
  } catch (const Fault& fault) {
    return tl::unexpected(fault.reason);
  } catch (const nlohmann::json::exception& error) {
    return tl::unexpected(std::string(error.what()));
  }
  return result;
}

}  // namespace weir::load
