#include "load/read/singer_flow.h"

#include <algorithm>

#include "load/value/json_break.h"

namespace weir::load {
namespace {

/// Of states that wait for a commit more are not kept: fewer are echoed then, never a wrong one.
constexpr std::size_t kMaxStates = 64;

/// `{}`, `null`, or nothing at all.
bool is_empty_state(std::string_view value) {
  const std::string_view text = trim_json(value);
  if (text.empty() || text == "null") return true;
  return text.front() == '{' && trim_json(text.substr(1)) == "}";
}

}  // namespace

SingerFlow::SingerFlow(std::map<std::string, std::int64_t> active) {
  for (const auto& [name, version] : active) streams_[name].active = version;
}

SingerApply SingerFlow::apply(const std::string& name, Stream& stream, bool replace,
                              std::optional<std::int64_t> version) {
  if (!replace && stream.held) stream.spilled = stream.held;
  stream.applied = stream.last;
  stream.held.reset();
  return {.stream = name, .position = stream.last, .replace = replace, .version = version};
}

SingerFlow::SchemaStep SingerFlow::on_schema(const std::string& name, SingerSchema schema) {
  Stream& stream = streams_[name];
  SchemaStep step;
  // Taps repeat their schemas.
  if (stream.has_schema && stream.schema == schema) return step;
  step.changed = true;
  if (stream.last > stream.applied) {
    step.held = stream.held.has_value();
    if (!step.held) step.first = apply(name, stream, false, std::nullopt);
  }
  stream.schema = std::move(schema);
  stream.has_schema = true;
  return step;
}

SingerFlow::RecordStep SingerFlow::on_record(const std::string& name, std::optional<std::int64_t> version) {
  Stream& stream = streams_[name];
  RecordStep step;
  if (version == stream.active) version.reset();
  // Rows of two versions, or with and without one, are never applied together.
  if (stream.last > stream.applied && stream.held != version)
    step.first = apply(name, stream, false, std::nullopt);
  stream.held = version;
  stream.last = ++position_;
  step.position = position_;
  return step;
}

std::optional<SingerApply> SingerFlow::on_version(const std::string& name, std::int64_t version) {
  Stream& stream = streams_[name];
  if (stream.active == version) return std::nullopt;
  const bool has_rows = stream.last > stream.applied && stream.held == version;
  if (has_rows) {
    stream.active = version;
    stream.awaited.reset();
    return apply(name, stream, true, version);
  }
  if (!stream.active || stream.spilled == version) {
    // Whose rows the target has, nobody knows, or some of the version were applied among others: none is
    // deleted.
    stream.active = version;
    return apply(name, stream, false, version);
  }
  // The target would be empty until the rows come. They come first.
  stream.awaited = version;
  return std::nullopt;
}

void SingerFlow::on_state(std::string_view value) {
  if (is_empty_state(value)) return;
  State state{.value = std::string(value), .after = {}};
  for (const auto& [name, stream] : streams_) {
    if (stream.last > stream.committed) state.after.emplace(name, stream.last);
  }
  if (!states_.empty() && states_.back().after == state.after) {
    states_.back() = std::move(state);
    return;
  }
  states_.push_back(std::move(state));
  if (states_.size() > kMaxStates) thin_out();
}

void SingerFlow::thin_out() {
  std::vector<State> kept;
  for (std::size_t i = states_.size() % 2; i < states_.size(); i += 2)
    kept.push_back(std::move(states_[i + 1]));
  states_ = std::move(kept);
}

std::vector<SingerApply> SingerFlow::on_end() {
  std::vector<SingerApply> all;
  for (auto& [name, stream] : streams_) {
    if (stream.awaited && (stream.held == stream.awaited || stream.last == stream.applied)) {
      stream.active = stream.awaited;
      all.push_back(apply(name, stream, true, stream.awaited));
      stream.awaited.reset();
    } else if (stream.last > stream.applied) {
      all.push_back(apply(name, stream, false, std::nullopt));
    }
  }
  return all;
}

const SingerSchema* SingerFlow::schema(const std::string& name) const {
  const auto found = streams_.find(name);
  return found == streams_.end() || !found->second.has_schema ? nullptr : &found->second.schema;
}

bool SingerFlow::may_apply(const std::string& name) const {
  const auto found = streams_.find(name);
  return found == streams_.end() || !found->second.held;
}

std::size_t SingerFlow::ready(const std::string& name, std::uint64_t position) const {
  const auto is_ready = [&](const State& state) {
    return std::all_of(state.after.begin(), state.after.end(), [&](const auto& need) {
      const std::uint64_t done = streams_.at(need.first).committed;
      return need.second <= std::max(done, need.first == name ? position : 0);
    });
  };
  // A later state needs at least as much as an earlier one.
  return static_cast<std::size_t>(std::find_if_not(states_.begin(), states_.end(), is_ready) -
                                  states_.begin());
}

std::optional<std::string> SingerFlow::committed(const std::string& name, std::uint64_t position) {
  Stream& stream = streams_[name];
  stream.committed = std::max(stream.committed, position);
  stream.applied = std::max(stream.applied, position);
  if (stream.applied >= stream.last) stream.held.reset();
  return ready_state();
}

std::optional<std::string> SingerFlow::state_after(const std::string& name, std::uint64_t position) const {
  const std::size_t count = ready(name, position);
  if (count == 0) return std::nullopt;
  return states_[count - 1].value;
}

std::optional<std::string> SingerFlow::ready_state() {
  const std::size_t count = ready({}, 0);
  if (count == 0) return std::nullopt;
  std::string value = std::move(states_[count - 1].value);
  states_.erase(states_.begin(), states_.begin() + static_cast<std::ptrdiff_t>(count));
  return value;
}

}  // namespace weir::load
