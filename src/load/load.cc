#include "load/load.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "load/direct_append.h"
#include "load/evolution.h"
#include "load/extraction.h"
#include "load/read/sampled_reader.h"
#include "load/shape.h"
#include "load/write/early_guard.h"
#include "load/write/patience.h"
#include "load/write/rights.h"
#include "load/write/room.h"
#include "load/write/run.h"
#include "load/write/target_lock.h"
#include "pg/error.h"
#include "pg/identifier.h"

namespace weir::load {
namespace {

constexpr std::size_t kSampleBytes = std::size_t{8} << 20U;
/// Of one statement: the server's own limits end it. To write a large stage anew, or to check deferred
/// constraints, takes its time.
constexpr Duration kLongestStatement = std::chrono::hours(24);

constexpr std::string_view kDiskFull = "53100";
constexpr std::string_view kOnTables = "SELECT, INSERT, UPDATE, DELETE";

/// The server's disk is full. `held` is what the stage took of it.
class NoRoom final : public Error {
 public:
  NoRoom(const Error& cause, const std::string& target, const std::string& held)
      : Error(
            ExitCode::failed, fmt::format("there is no room on the server's disk: {}{}", cause.what(), held),
            fmt::format("{} is as it was, and what was read is given back. A load needs room for its source, "
                        "and for what it changes; then it begins anew.",
                        target),
            Failure::statement, cause.sqlstate()) {}
};

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += word + ',';
  return text;
}

}  // namespace

struct Load::Parts {
  std::shared_ptr<const pg::Connector>
      users;  ///< with the user's search_path: types, views and triggers go by it
  SampledReader reader;
  LoadOptions options;
  OnProgress on_progress;
  LoadReport report{};
  std::string role{};  ///< whose rights count; empty before the target was looked at, or where it is made
  std::optional<TableName> table{};          ///< the target, once it was looked at
  std::string held{};                        ///< of a full disk: what the stage took there, for people
  std::optional<std::string> little_room{};  ///< of a warning, in the plan of the load as of a dry run
  Duration waited{};     ///< for another load, before columns were changed; the longest of all rounds
  bool made = false;     ///< the target, by this load
  bool moved = false;    ///< the target is another table than when the load began
  bool resumes = false;  ///< a run that another process may have; ours once we hold its stage

  Parts(std::shared_ptr<const pg::Connector> connector, std::unique_ptr<RecordReader> source,
        LoadOptions chosen, OnProgress tell)
      : users(std::move(connector)),
        reader(std::move(source)),
        options(std::move(chosen)),
        on_progress(std::move(tell)) {}

  [[nodiscard]] pg::Session connect(const std::stop_token& stop) const {
    pg::Session session =
        users->connect(pg::Role::load, report.run == 0 ? "plan" : std::to_string(report.run), {.stop = stop});
    session.set_stop(stop);
    session.set_timeout(kLongestStatement);
    return session;
  }

  void tell(LoadProgress::Phase phase, std::string note = {}) {
    if (on_progress) {
      on_progress({.phase = phase,
                   .rows = report.records,
                   .rejected = report.rejected,
                   .read = reader.progress(),
                   .note = std::move(note),
                   .notices = reader.notices()});
    }
  }

  void run(const std::stop_token& stop);
  [[nodiscard]] bool goes_straight(const LoadShape& shape) const;
  void look_for_room(pg::Session& session);
  void begin(pg::Session& session, const LoadShape& shape);
  void write(LoadShape& shape, const std::stop_token& stop);
  void directly(LoadShape& shape, Evolution& evolution, const std::optional<StateChange>& state,
                const std::stop_token& stop);
  void through_stage(LoadShape& shape, Evolution& evolution, const std::optional<StateChange>& state,
                     const std::stop_token& stop);
  void from_stage(Stage& stage, pg::Session& writer, LoadShape& shape, Evolution& evolution,
                  const std::optional<StateChange>& state, const std::stop_token& stop);
  void into_target(const Stage::Sealed& sealed, LoadShape& shape, Evolution& evolution,
                   const std::optional<StateChange>& state, const std::stop_token& stop);
  bool find_moved(LoadShape& shape, int round, const std::string& why, const std::stop_token& stop);
  std::int64_t extract(Stage& stage, pg::Session& writer, Evolution& evolution, const std::stop_token& stop);
  void describe(const LoadShape& shape, const StageTable& stage, int server_version);
  [[nodiscard]] std::string held_by(const Stage& stage) const noexcept;
  [[nodiscard]] MissingRight lacking(const pg::Error& error) const;
  void take_back(const Target& made_by_us) noexcept;
  void clear(Stage& stage, bool gives_up) noexcept;
  void give_up(const std::string& error) noexcept;
};

Load::Load(std::shared_ptr<const pg::Connector> connector, std::unique_ptr<RecordReader> reader,
           LoadOptions options, OnProgress on_progress)
    : parts_(std::make_unique<Parts>(std::move(connector), std::move(reader), std::move(options),
                                     std::move(on_progress))) {}

Load::~Load() = default;

LoadReport Load::run(const std::stop_token& stop) {
  const SteadyTime began = std::chrono::steady_clock::now();
  try {
    parts_->run(stop);
  } catch (const pg::Error& error) {
    if (!is_of_rights(error)) throw;
    throw parts_->lacking(error);
  }
  parts_->report.took = std::chrono::steady_clock::now() - began;
  return std::move(parts_->report);
}

void Load::Parts::run(const std::stop_token& stop) {
  tell(LoadProgress::Phase::sample);
  LoadShape shape;
  {
    pg::Session session = connect(stop);
    require_own_session(session, *users);  // before records are read: a pipe gives them once
    reader.read_sample(options.sample_rows, kSampleBytes);
    if (!session.still_alive()) session = connect(stop);  // a slow source
    shape = find_shape(session, reader, options);
    role = shape.target.role;
    table = shape.name;
    describe(shape, {.sql = "weir_stage.stage"}, session.server_version());
    if (options.dry_run) {
      if (!goes_straight(shape)) look_for_room(session);
      report.records = reader.sampled();
      report.notices = reader.notices();
      return;
    }
    report.plan.require();
    begin(session, shape);
  }
  try {
    write(shape, stop);
  } catch (const pg::InDoubt&) {
    throw;  // whoever looks later finds in weir.load_run what came of it
  } catch (const Error& error) {
    if (!resumes) give_up(error.what());
    if (error.sqlstate() == kDiskFull) throw NoRoom(error, report.target, held);
    throw;
  } catch (const std::exception& error) {
    if (!resumes) give_up(error.what());
    throw;
  }
}

bool Load::Parts::goes_straight(const LoadShape& shape) const {
  return shape.exists && shape.drift.none() && DirectAppend::suits(options, shape.target, shape.matching);
}

/// For a stage that is begun: the rest of one that is gone on with nobody knows.
void Load::Parts::look_for_room(pg::Session& session) {
  little_room = find_little_room(session, users->conninfo(), reader.progress().total);
  if (!little_room) return;
  tell(LoadProgress::Phase::sample, *little_room);
  report.plan.warnings.push_back(*little_room);
}

/// The target's own rights are looked at before; most of what comes later is of something beside it.
MissingRight Load::Parts::lacking(const pg::Error& error) const {
  const std::string label = printable(options.target);
  if (table && names_table(error.info(), table->name)) {
    return {fmt::format("the server does not let this user load into {}: {}", label, error.info().message),
            fmt::format("Nothing was loaded. GRANT {} ON {} TO {};",
                        options.spec.mode == Mode::append ? "INSERT" : kOnTables, table->sql(),
                        role.empty() ? "<user>" : pg::quote_identifier(role))};
  }
  return {fmt::format("the server refuses something that the load into {} needs: {}", label,
                      error.info().message),
          "Nothing was loaded. " + grant_for(error.info(), role, Purpose::loading)};
}

/// What the load is, as far as is known: after the sample, and once more when all of the source was read.
void Load::Parts::describe(const LoadShape& shape, const StageTable& stage, int server_version) {
  options.spec.columns = shape.columns;
  report.target = shape.target.label();
  report.created = !shape.exists;
  if (report.created) report.created_sql = create_table_sql(shape.name, shape.created, shape.created_key);
  report.drift = shape.drift;
  report.discarded = shape.matching.discarded();
  report.plan = make_plan(shape.target, options.spec, stage, server_version);
  if (little_room) report.plan.warnings.push_back(*little_room);
  if (shape.exists && !shape.drift.none() && report.plan.refusals.empty()) {
    report.plan.steps.insert(report.plan.steps.begin(),
                             {.phase = Step::Phase::columns,
                              .name = "alter",
                              .sql = evolve_sql(shape.found, shape.drift),
                              .relation = report.target,
                              .lock = LockMode::access_exclusive,
                              .note = "a transaction of its own, under lock_timeout 100 ms, tried again with "
                                      "pauses"});
  }
  for (const std::string& name : shape.said) {
    if (shape.makes(name)) continue;
    report.plan.warnings.push_back(fmt::format("{}.{} is there: its type holds, not what --columns says",
                                               report.target, printable(name)));
  }
}

/// Finds the run that was broken off, or begins one.
void Load::Parts::begin(pg::Session& session, const LoadShape& shape) {
  std::string fingerprint;
  if (!options.fingerprint.empty()) {
    fingerprint = fmt::format("{} > {} {} key {} columns {} {}", options.fingerprint, shape.target.label(),
                              to_string(options.spec.mode), joined(options.spec.key), joined(shape.columns),
                              static_cast<int>(options.contract));
    for (const SaidColumn& said : options.columns) fingerprint += fmt::format(" {}:{}", said.name, said.type);
    if (const auto left = find_resumable(session, fingerprint)) {
      report.run = *left;
      resumes = true;
      return;
    }
  }
  report.direct = goes_straight(shape);
  report.run = begin_run(session,
                         {.pipeline = options.pipeline,
                          .stream = options.stream,
                          .source = options.source,
                          .fingerprint = fingerprint},
                         shape.target, options.spec.mode);
}

void Load::Parts::write(LoadShape& shape, const std::stop_token& stop) {
  std::optional<StateChange> state;
  if (!options.pipeline.empty() || !options.stream.empty() || options.state) {
    state = StateChange{.before = options.began_with.value_or(State{}), .json = options.state.value_or("")};
    if (!options.began_with) {
      pg::Session session = connect(stop);
      state->before = read_state(session, options.pipeline, options.stream);
    }
  }
  Evolution evolution(shape, reader, options);
  if (report.direct) directly(shape, evolution, state, stop);
  if (!report.direct) through_stage(shape, evolution, state, stop);
  report.losses = evolution.losses();
  report.notices = reader.notices();
  std::ranges::move(report.losses.notices(), std::back_inserter(report.notices));
  tell(LoadProgress::Phase::care);
  try {
    pg::Session session = connect(stop);
    report.care = take_care(session, shape.target, report.applied->dead_rows);
  } catch (const Error& error) {  // no session, or stopped: the rows are there
    report.care.skipped = error.what();
  }
}

void Load::Parts::directly(LoadShape& shape, Evolution& evolution, const std::optional<StateChange>& state,
                           const std::stop_token& stop) {
  options.apply.stop = stop;
  options.apply.on_event = [this](const ApplyEvent& event) { tell(LoadProgress::Phase::stage, event.text); };
  DirectAppend append([&] { return connect(stop); }, shape.target, options,
                      [this](std::uint64_t records, const ReadProgress& /*read*/) {
                        report.records = records;
                        tell(LoadProgress::Phase::stage);
                      });
  try {
    report.applied = append.run(reader, evolution, report.run, state, stop);
    shape.target = append.target();
    report.records = static_cast<std::uint64_t>(report.applied->inserted);
    if (options.on_committed) options.on_committed();
  } catch (const DirectAppend::NeedsStage& met) {
    if (!options.reopen) {
      throw Error(
          ExitCode::refused, fmt::format("{}; nothing was loaded", met.what),
          fmt::format("{} would be changed for it, which an append that goes straight into it cannot do, "
                      "and this source cannot be read again: say --staged.",
                      report.target));
    }
    report.direct = false;
    report.records = 0;
    evolution.losses() = {};
    reader.restart(options.reopen());
    evolution.keep_json();
    tell(LoadProgress::Phase::stage, "from the beginning, through the stage: " + met.what);
  }
}

void Load::Parts::through_stage(LoadShape& shape, Evolution& evolution,
                                const std::optional<StateChange>& state, const std::stop_token& stop) {
  pg::Session holder = connect(stop);
  pg::Session writer = connect(stop);
  options.spec.columns = shape.columns;  // also what an append has found that could not go on
  if (!resumes) look_for_room(holder);
  Stage stage = Stage::open(holder, shape.target, options.spec, report.run);
  if (std::exchange(resumes, false)) resume_run(holder, report.run, shape.target);
  try {
    from_stage(stage, writer, shape, evolution, state, stop);
  } catch (const pg::InDoubt&) {
    throw;
  } catch (const Error& error) {
    const bool full = error.sqlstate() == kDiskFull;
    if (full) held = held_by(stage);
    // What cannot be gone on with only takes room; on a full disk that of others too.
    if (options.fingerprint.empty() || full) clear(stage, true);
    throw;
  }
  clear(stage, moved);  // one of a table that is gone is of no use to another load
}

void Load::Parts::from_stage(Stage& stage, pg::Session& writer, LoadShape& shape, Evolution& evolution,
                             const std::optional<StateChange>& state, const std::stop_token& stop) {
  evolution.adopt(stage);
  const std::int64_t chunks = extract(stage, writer, evolution, stop);
  writer.set_stop(stop);
  const Stage::Sealed sealed = stage.seal(writer, chunks);

  tell(LoadProgress::Phase::apply);
  for (int round = 1;; ++round) {
    try {
      into_target(sealed, shape, evolution, state, stop);
      break;
    } catch (const TargetMoved& error) {
      if (!find_moved(shape, round, error.what(), stop)) throw;
    } catch (const pg::Error& error) {
      if (!is_gone(error) || !find_moved(shape, round, error.what(), stop)) throw;
    }
  }
  report.rejected = static_cast<std::uint64_t>(report.applied->rejected);
  if (options.on_committed) options.on_committed();
}

/// Whether the table is another one now, and may be tried. One that is renamed, and then its successor, is
/// gone between the two.
bool Load::Parts::find_moved(LoadShape& shape, int round, const std::string& why,
                             const std::stop_token& stop) {
  ApplyOptions patience = options.apply;
  patience.stop = stop;
  patience.on_event = [this](const ApplyEvent& event) { tell(LoadProgress::Phase::apply, event.text); };
  if (made) return false;  // and taken back
  for (; round < patience.attempts; ++round) {
    pg::Session session = connect(stop);
    if (look_again(session, shape)) {
      moved = true;
      tell(LoadProgress::Phase::apply, why + ": the load goes on with that one");
      return true;
    }
    const bool is_there =
        session.execute("SELECT to_regclass($1) IS NOT NULL", shape.name.sql())[0].get<bool>(0);
    if (is_there) return false;  // the same table, and so another fault
    wait_to_retry(patience, round, why);
  }
  return false;
}

void Load::Parts::into_target(const Stage::Sealed& sealed, LoadShape& shape, Evolution& evolution,
                              const std::optional<StateChange>& state, const std::stop_token& stop) {
  pg::Session session = connect(stop);
  const int version = session.server_version();
  describe(shape, sealed.table, version);
  report.plan.require();
  if (!shape.exists || !shape.drift.none()) {
    guard_early(session, shape.target, shape.exists, options.spec, sealed);
  }
  ApplyOptions applying = options.apply;
  applying.losses = evolution.losses().counts();
  applying.stop = stop;
  applying.on_event = [this](const ApplyEvent& event) { tell(LoadProgress::Phase::apply, event.text); };
  {
    // A change of the table waits for another load as long as a load may, not for a lock_timeout.
    if (shape.exists && !shape.drift.none())
      waited = std::max(waited, lock_target(session, shape.target, applying, TargetLock::session));
    made = prepare_target(session, shape);
    applying.altered = shape.altered;
    applying.waited = waited;
    session.close();
  }
  try {
    make_plan(shape.target, options.spec, sealed.table, version).require();
    report.applied =
        apply([&] { return connect(stop); }, shape.target, options.spec, sealed, state, applying);
  } catch (const pg::InDoubt&) {
    throw;
  } catch (const std::exception&) {
    if (made) take_back(shape.target);
    throw;
  }
}

/// On a session of its own: those that were idle for as long as the table was written may be gone.
void Load::Parts::clear(Stage& stage, bool gives_up) noexcept {
  try {
    pg::Session session = connect({});
    gives_up ? stage.drop(session) : stage.clear(session);
  } catch (const std::exception& failure) {
    log::warn("the stage of the load is still there; the next load clears it",
              {{"stage", stage.sql()}, {"error", failure.what()}});
  }
}

std::string Load::Parts::held_by(const Stage& stage) const noexcept {
  try {
    pg::Session session = connect({});
    const pg::Result size = session.execute("SELECT pg_total_relation_size($1::text::regclass)", stage.sql());
    return fmt::format("; the stage {} had {} there", stage.sql(),
                       human_bytes(static_cast<std::uint64_t>(size[0].get<std::int64_t>(0))));
  } catch (const std::exception&) {
    return {};  // the failure itself is what has to be reported
  }
}

std::int64_t Load::Parts::extract(Stage& stage, pg::Session& writer, Evolution& evolution,
                                  const std::stop_token& stop) {
  Extraction extraction(reader, writer, stage, evolution, options,
                        [this](const Extraction::Totals& totals, const ReadProgress& /*read*/) {
                          report.records = totals.records;
                          report.rejected = totals.rejected;
                          tell(LoadProgress::Phase::stage);
                        });
  const Extraction::Totals totals = extraction.run(stop);
  report.records = totals.records;
  report.rejected = totals.rejected;
  report.resumed_from = totals.resumed_from;
  return totals.chunks;
}

/// A load that came to nothing leaves no table behind.
void Load::Parts::take_back(const Target& made_by_us) noexcept {
  try {
    pg::Session session = connect({});
    drop_created(session, made_by_us);
  } catch (const std::exception& failure) {
    log::warn("the table that the load had made is still there",
              {{"table", report.target}, {"error", failure.what()}});
  }
}

void Load::Parts::give_up(const std::string& error) noexcept {
  try {
    pg::Session session = connect({});
    break_run(session, report.run, options.shown_error ? options.shown_error(error) : error);
  } catch (const std::exception& failure) {
    log::warn("it could not be noted that the load broke off",
              {{"run", report.run}, {"error", failure.what()}});
  }
}

}  // namespace weir::load
