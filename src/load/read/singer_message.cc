#include "load/read/singer_message.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/format.h>

#include "base/text.h"

namespace weir::load {
namespace {

enum Key : std::size_t { type, stream, record, schema, key_properties, value, encoding, manifest, version };

constexpr std::array<const char*, 9> kKeys = {"type",  "stream",   "record",   "schema", "key_properties",
                                              "value", "encoding", "manifest", "version"};

struct NamedType {
  std::string_view name;
  SingerMessage::Type type;
};
constexpr std::array<NamedType, 5> kTypes = {{{"RECORD", SingerMessage::Type::record},
                                              {"STATE", SingerMessage::Type::state},
                                              {"SCHEMA", SingerMessage::Type::schema},
                                              {"ACTIVATE_VERSION", SingerMessage::Type::activate_version},
                                              {"BATCH", SingerMessage::Type::batch}}};

char upper(char c) noexcept { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

bool same_word(std::string_view word, std::string_view name) {
  return std::equal(word.begin(), word.end(), name.begin(), name.end(),
                    [](char a, char b) { return upper(a) == b; });
}

tl::unexpected<JsonBreak> fault(std::string reason) {
  return tl::unexpected(JsonBreak{0, std::move(reason)});
}

}  // namespace

SingerMessages::SingerMessages() {
  for (const char* key : kKeys) cells_.declare({key}, key);
  for (const Key key : {record, schema, key_properties, value, encoding, manifest}) cells_.keep_json(key);
}

tl::expected<SingerMessage, JsonBreak> SingerMessages::parse(std::string_view line) {
  if (std::optional<JsonBreak> broken = cells_.read(line)) return tl::unexpected(std::move(*broken));
  const std::span<const Cell> cells = cells_.cells();
  const auto is_text = [&](Key key) { return cells[key].kind == Cell::Kind::text; };
  // A JSON null is as if the key were not there.
  const auto json = [&](Key key) { return cells[key].is_null() ? std::string_view() : cells[key].text; };

  if (!is_text(type)) return fault("a message without a type");
  SingerMessage message;
  const auto* known = std::find_if(kTypes.begin(), kTypes.end(),
                                   [&](const NamedType& t) { return same_word(cells[type].text, t.name); });
  if (known == kTypes.end()) {
    return fault(
        fmt::format("a message of type '{}', which Singer does not have", printable(cells[type].text)));
  }
  message.type = known->type;
  message.value = json(value);
  if (message.type == SingerMessage::Type::state) return message;

  if (!is_text(stream) || cells[stream].text.empty()) {
    return fault(fmt::format("a {} without a stream", known->name));
  }
  message.stream = cells[stream].text;
  message.record = json(record);
  message.schema = json(schema);
  message.key_properties = json(key_properties);
  message.encoding = json(encoding);
  message.manifest = json(manifest);
  if (!cells[version].is_null()) {
    const std::string_view digits = cells[version].text;
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (error != std::errc() || end != digits.data() + digits.size()) {
      return fault(fmt::format("a version of stream '{}' that is no whole number: {}",
                               printable(message.stream), printable(elide(digits, 40))));
    }
    message.version = number;
  }

  const auto wants = [&](std::string_view text, char first) {
    return !text.empty() && text.front() == first;
  };
  switch (message.type) {
    case SingerMessage::Type::record:
      if (wants(message.record, '{')) return message;
      return fault(
          fmt::format("a RECORD of stream '{}' whose record is no object", printable(message.stream)));
    case SingerMessage::Type::schema:
      if (wants(message.schema, '{')) return message;
      return fault(
          fmt::format("a SCHEMA of stream '{}' whose schema is no object", printable(message.stream)));
    case SingerMessage::Type::activate_version:
      if (message.version) return message;
      return fault(
          fmt::format("an ACTIVATE_VERSION of stream '{}' without a version", printable(message.stream)));
    case SingerMessage::Type::batch:
      if (wants(message.manifest, '[')) return message;
      return fault(fmt::format("a BATCH of stream '{}' without a manifest", printable(message.stream)));
    case SingerMessage::Type::state: break;
  }
  return message;
}

}  // namespace weir::load
