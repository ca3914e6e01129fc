#include "load/singer_state.h"

#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "pg/session.h"
#include "pg/transaction.h"

namespace weir::load {
namespace {

using Json = nlohmann::json;

constexpr const char* kTap = "tap_state";
constexpr const char* kVersions = "versions";

}  // namespace

bool is_of_tap(std::string_view kept) {
  const Json document = Json::parse(kept, nullptr, false);
  return document.is_object() && document.contains(kTap) && document.contains(kVersions);
}

std::string tap_state_of(std::string_view kept) {
  const Json document = Json::parse(kept, nullptr, false);
  if (!document.is_object() || !document.contains(kTap)) return std::string(kept);
  return document[kTap].dump();
}

SingerState SingerState::read(pg::Session& session, const std::string& pipeline) {
  SingerState state;
  state.row_ = read_state(session, pipeline, "");
  state.tap_ = tap_state_of(state.row_.json);
  const Json document = Json::parse(state.row_.json, nullptr, false);
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
  return fmt::format(R"({{"{}": {}, "{}": {}}})", kTap, tap_, kVersions, Json(versions_).dump());
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
