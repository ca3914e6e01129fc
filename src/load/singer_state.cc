#include "load/singer_state.h"

#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <simdjson.h>

#include "load/value/json_break.h"
#include "pg/session.h"
#include "pg/transaction.h"

namespace weir::load {
namespace {

using KeptJson = nlohmann::json;

constexpr const char* kTap = "tap_state";
/// Instead of it where jsonb would refuse it: the state's text, as a string.
constexpr const char* kTapText = "tap_state_text";
constexpr const char* kVersions = "versions";

/// Without what stands between its words; numbers keep all their digits.
std::string compact(std::string_view json) {
  std::string text(json.size() + simdjson::SIMDJSON_PADDING, '\0');
  std::size_t size = 0;
  if (simdjson::minify(json.data(), json.size(), text.data(), size) != simdjson::SUCCESS)
    return std::string(json);
  text.resize(size);
  return text;
}

simdjson::error_code text_of(simdjson::ondemand::value value, std::string_view& text) {
  simdjson::ondemand::json_type type{};
  if (const auto error = value.type().get(type)) return error;
  if (type == simdjson::ondemand::json_type::object) {
    simdjson::ondemand::object object;
    if (const auto error = value.get_object().get(object)) return error;
    return object.raw_json().get(text);
  }
  if (type == simdjson::ondemand::json_type::array) {
    simdjson::ondemand::array array;
    if (const auto error = value.get_array().get(array)) return error;
    return array.raw_json().get(text);
  }
  text = value.raw_json_token();
  return simdjson::SUCCESS;
}

/// \u0000, or half of a pair of surrogates, in a key or a value: in jsonb there is no such text.
bool fits_jsonb(std::string_view json) { return !find_json_break(json, kJsonbRules); }

}  // namespace

bool is_of_tap(std::string_view kept) {
  const KeptJson document = KeptJson::parse(kept, nullptr, false);
  return document.is_object() && (document.contains(kTap) || document.contains(kTapText)) &&
         document.contains(kVersions);
}

std::string tap_state_of(std::string_view kept) {
  namespace ondemand = simdjson::ondemand;
  const KeptJson whole = KeptJson::parse(kept, nullptr, false);
  if (whole.is_object() && whole.contains(kTapText) && whole[kTapText].is_string() &&
      whole.contains(kVersions))
    return whole[kTapText].get<std::string>();
  const simdjson::padded_string padded(kept);
  ondemand::parser parser;
  ondemand::document document;
  ondemand::object object;
  ondemand::value value;
  std::string_view state;
  // Documents that are a number or a text are no objects, and an error here.
  if (parser.iterate(padded).get(document) != simdjson::SUCCESS ||
      document.get_object().get(object) != simdjson::SUCCESS ||
      object.find_field_unordered(kTap).get(value) != simdjson::SUCCESS ||
      text_of(value, state) != simdjson::SUCCESS)
    return std::string(kept);
  return compact(state);
}

SingerState SingerState::read(pg::Session& session, const std::string& pipeline) {
  SingerState state;
  state.row_ = read_state(session, pipeline, "");
  state.tap_ = tap_state_of(state.row_.json);
  const KeptJson document = KeptJson::parse(state.row_.json, nullptr, false);
  if (!document.is_object() || !document.contains(kVersions)) return state;
  for (const auto& [stream, version] : document[kVersions].items()) {
    if (version.is_number_integer()) state.versions_.emplace(stream, version.get<std::int64_t>());
  }
  return state;
}

void SingerState::set_tap(std::string state) {
  if (state == tap_) return;
  tap_ = std::move(state);
  kept_ = false;
}

void SingerState::set_version(const std::string& stream, std::int64_t version) {
  versions_[stream] = version;
  kept_ = false;
}

std::string SingerState::json() const {
  // The tap's text as it is: numbers keep all their digits.
  const bool fits = fits_jsonb(tap_);
  return fmt::format(R"({{"{}": {}, "{}": {}}})", fits ? kTap : kTapText, fits ? tap_ : KeptJson(tap_).dump(),
                     kVersions, KeptJson(versions_).dump());
}

void SingerState::committed(std::int64_t run) {
  ++row_.seq;
  run_ = run;
  kept_ = true;
}

void SingerState::keep(pg::Session& session) {
  pg::Transaction transaction(session);
  advance_state(session, {.before = row_, .json = json()}, run_, 0);
  transaction.commit();
  committed(run_);
}

}  // namespace weir::load
