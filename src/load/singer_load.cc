#include "load/singer_load.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "load/singer_target.h"
#include "load/value/names.h"
#include "load/value/widen.h"
#include "load/write/target_lock.h"
#include "pg/identifier.h"

namespace weir::load {
namespace {

constexpr std::uint64_t kTellEvery = 1000;
/// Records without a key wait so many times as long as others: for a state that they can be committed with.
constexpr int kPatienceWithoutKey = 4;

std::vector<std::string> names_of(const std::vector<SingerColumn>& columns) {
  std::vector<std::string> names;
  names.reserve(columns.size());
  for (const SingerColumn& column : columns) names.push_back(column.name);
  return names;
}

}  // namespace

std::string default_pipeline(const std::string& into) { return "singer " + into; }

SingerLoad::SingerLoad(std::shared_ptr<const pg::Connector> connector, std::unique_ptr<ByteSource> source,
                       SingerLoadOptions options, Tell tell)
    : connector_(std::move(connector)),
      source_(std::move(source)),
      options_(std::move(options)),
      tell_(std::move(tell)) {
  if (options_.each.pipeline.empty()) options_.each.pipeline = default_pipeline(options_.into);
}

pg::Session SingerLoad::connect() const {
  pg::Session session = connector_->connect(pg::Role::load, "singer", {.stop = stop_});
  session.set_stop(stop_);
  return session;
}

void SingerLoad::run(const std::stop_token& stop) {
  stop_ = stop;
  {
    pg::Session session = connect();
    require_own_session(session, *connector_);
    state_ = SingerState::read(session, options_.each.pipeline);
  }
  SingerOptions reading;
  reading.schema = {.flatten = options_.flatten, .soft_delete = options_.soft_delete};
  reading.max_message_bytes = options_.max_message_bytes;
  reading.active_versions = state_.versions();
  reading.open_file = [this](const std::string& path) { return file_inputs(path).front().open(stop_); };
  source_->set_idle({.until = [this] { return next_due(); }, .act = [this] { apply_overdue(); }});
  reader_.emplace(std::move(source_), std::move(reading));
  while (const auto event = reader_->next()) take(*event);
  echo(reader_->ready_state());
  for (auto& [name, stream] : streams_) warn_of_unknown_keys(name, stream);
  if (state_.is_kept()) return;
  pg::Session session = connect();
  state_.keep(session);
}

void SingerLoad::take(const SingerEvent& event) {
  at_state_ = event.kind == SingerEvent::Kind::state || (at_state_ && event.kind == SingerEvent::Kind::apply);
  switch (event.kind) {
    case SingerEvent::Kind::schema: take_schema(event); return;
    case SingerEvent::Kind::record:
      take_record(event);
      // Streams may be silent while another one is not.
      if (records_ % kTellEvery == 0) apply_overdue();
      return;
    case SingerEvent::Kind::apply: apply(event.apply); return;
    case SingerEvent::Kind::state: break;
  }
  echo(reader_->ready_state());
  apply_what_waits();
}

void SingerLoad::take_schema(const SingerEvent& event) {
  Stream& stream = stream_of(std::string(event.stream));
  if (stream.ignored) return;
  stream.spool.use(names_of(event.schema->columns));
  std::vector<SingerColumn> columns = event.schema->columns;
  if (event.held) {
    // Rows with the columns before are applied together with those that come.
    for (const SingerColumn& old : stream.columns) {
      const auto found =
          std::find_if(columns.begin(), columns.end(), [&](const auto& c) { return c.name == old.name; });
      if (found == columns.end()) {
        columns.push_back(old);
      } else {
        found->type = widened(found->type, old.type);
      }
    }
  }
  stream.columns = std::move(columns);
  stream.keys.clear();
  for (const std::size_t key : event.schema->keys) stream.keys.push_back(event.schema->columns[key].name);
}

void SingerLoad::take_record(const SingerEvent& event) {
  const std::string name(event.stream);
  Stream& stream = stream_of(name);
  stream.position = event.position;
  if (++records_ % kTellEvery == 0 && tell_.progress) {
    tell_.progress(
        {.phase = LoadProgress::Phase::sample, .rows = records_, .read = reader_->progress(), .note = name});
  }
  if (stream.ignored) {
    echo(reader_->committed(name, event.position));
    return;
  }
  if (stream.spool.records() == 0) stream.since = steady_now();
  stream.spool.add(event.record);
  if (reader_->may_apply(name) && is_due(stream, stream.keys.empty() ? kPatienceWithoutKey : 1))
    apply({.stream = name, .position = event.position});
}

bool SingerLoad::is_due(const Stream& stream, int patience) const {
  if (stream.spool.records() == 0) return false;
  return stream.spool.bytes() >= options_.apply_bytes * static_cast<std::uint64_t>(patience) ||
         (options_.apply_every > Duration::zero() &&
          steady_now() - stream.since >= options_.apply_every * patience);
}

bool SingerLoad::may_apply_all() const {
  return std::all_of(streams_.begin(), streams_.end(), [&](const auto& one) {
    return one.second.spool.records() == 0 || reader_->may_apply(one.first);
  });
}

/// What apply_overdue() would not apply then has none: nobody waits for it again and again.
Deadline SingerLoad::next_due() const {
  Deadline next = Deadline::never();
  if (options_.apply_every == Duration::zero()) return next;
  const bool with_state = at_state_ && may_apply_all();
  for (const auto& [name, stream] : streams_) {
    if (stream.spool.records() == 0 || !reader_->may_apply(name)) continue;
    const int patience = stream.keys.empty() && !with_state ? kPatienceWithoutKey : 1;
    next = next.sooner(Deadline(stream.since + options_.apply_every * patience));
  }
  return next;
}

void SingerLoad::apply_overdue() {
  if (at_state_) apply_what_waits();
  for (auto& [name, stream] : streams_) {
    if (reader_->may_apply(name) && is_due(stream, stream.keys.empty() ? kPatienceWithoutKey : 1))
      apply({.stream = name, .position = stream.position});
  }
}

void SingerLoad::apply_what_waits() {
  bool due = false;
  const bool all = may_apply_all();  // so that the state is committed with the last of them
  for (const auto& [name, stream] : streams_) {
    due =
        due || is_due(stream, 1) || (options_.apply_every == Duration::zero() && stream.spool.records() > 0);
  }
  if (!due) return;
  // What has a key may come again; what has none goes last, with the state.
  for (const bool keyed : {true, false}) {
    for (auto& [name, stream] : streams_) {
      if (stream.spool.records() == 0 || stream.keys.empty() == keyed || !reader_->may_apply(name)) continue;
      if (keyed || all) apply({.stream = name, .position = stream.position});
    }
  }
}

void SingerLoad::apply(const SingerApply& apply) {
  const std::string name = apply.stream;
  Stream& stream = stream_of(name);
  if (!stream.ignored) {
    if (stream.spool.records() > 0 || apply.replace) {
      load(name, stream, apply);
    } else if (apply.version) {
      state_.set_version(name, *apply.version);
      pg::Session session = connect();
      state_.keep(session);
    }
  }
  echo(reader_->committed(name, apply.position));
}

void SingerLoad::load(const std::string& name, Stream& stream, const SingerApply& apply) {
  LoadOptions options = options_.each;
  options.source = fmt::format("{} {}", options.source, printable(name));
  options.target = stream.target;
  options.stream = name;
  options.spec.mode = apply.replace ? Mode::refresh : (stream.keys.empty() ? Mode::append : Mode::upsert);
  if (apply.replace && options_.soft_delete) options.spec.deleted_at = kDeletedAt;
  {
    pg::Session session = connect();
    fit_to_target(session, stream.spool, stream.columns, stream.keys, options);
  }
  options.began_with = state_.row();
  if (auto state = reader_->state_after(name, apply.position)) state_.set_tap(std::move(*state));
  if (apply.version) state_.set_version(name, *apply.version);
  options.state = state_.json();
  const LoadReport report = Load(connector_, stream.spool.read(), options, tell_.progress).run(stop_);
  state_.committed(report.run);
  stream.spool.clear();
  warn_of_unknown_keys(name, stream);
  if (tell_.report) tell_.report(report, options);
}

void SingerLoad::echo(std::optional<std::string> state) {
  if (!state) return;
  state_.set_tap(*state);
  if (tell_.state) tell_.state(*state);
}

void SingerLoad::warn_of_unknown_keys(const std::string& name, Stream& stream) const {
  if (stream.warned || !tell_.warning) return;
  std::vector<std::string> keys = reader_->unknown_keys(name);
  if (keys.empty()) return;
  stream.warned = true;
  for (std::string& key : keys) key = printable(key);
  tell_.warning(fmt::format("records of stream {} have keys that its schema has not; they are left out: {}",
                            printable(name), fmt::join(keys, ", ")));
}

SingerLoad::Stream& SingerLoad::stream_of(const std::string& name) {
  if (const auto found = streams_.find(name); found != streams_.end()) return found->second;
  const bool ignored = !options_.stream.empty() && options_.stream != name;
  const auto other =
      std::find_if(streams_.begin(), streams_.end(), [](const auto& s) { return !s.second.ignored; });
  if (!ignored && !options_.into.ends_with('*') && other != streams_.end()) {
    throw Error(ExitCode::usage,
                fmt::format("the tap has streams {} and {}, and {} is one table", printable(other->first),
                            printable(name), options_.into),
                "Say --into 'SCHEMA.*' for a table of each, or --stream NAME for one of them.");
  }
  Stream& stream = streams_[name];
  stream.ignored = ignored;
  stream.target = target_of(name);
  return stream;
}

std::string SingerLoad::target_of(const std::string& stream) const {
  if (!options_.into.ends_with('*')) return options_.into;
  const std::array<std::string, 1> names{stream};
  return options_.into.substr(0, options_.into.size() - 1) +
         pg::quote_identifier(column_names(names).front());
}

}  // namespace weir::load
