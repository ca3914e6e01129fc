#include "load/write/stage.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "load/value/widen.h"
#include "load/write/stage_sql.h"
#include "pg/identifier.h"
#include "schema/queries/load_stages.h"

namespace weir::load {
namespace {

void require_stage_schema(pg::Session& session) {
  const auto answer = session.run<sql::LoadStageSchema>();
  const auto row = answer.one();
  if (row.present && row.may_create) return;
  throw Error(ExitCode::database,
              row.present ? "this user may not make tables in schema weir_stage"
                          : "there is no schema weir_stage, in which loads read before they write",
              row.present
                  ? "Let an administrator say: GRANT weir_worker TO <user>; or GRANT USAGE, CREATE ON "
                    "SCHEMA weir_stage TO <user>;"
                  : "Let an administrator say: CREATE SCHEMA weir_stage; GRANT USAGE, CREATE ON SCHEMA "
                    "weir_stage TO weir_worker;");
}

bool lock_stage(pg::Session& session, const std::string& name) {
  const auto answer = session.run<sql::LoadLockStage>(name);
  return answer.one().granted;
}

void unlock_stage(pg::Session& session, const std::string& name) { session.run<sql::LoadUnlockStage>(name); }

void forget(pg::Session& session, std::int64_t run, std::int64_t beyond) {
  session.run<sql::LoadForgetChunks>(run, beyond);
  session.run<sql::LoadForgetStageRejects>(run, beyond);
}

struct Found {
  std::string name;
  StageTable table;
  std::vector<std::string> columns;
  std::vector<ColumnType> types;
  std::optional<Stage::Resume> resume{};
};

/// The columns of a stage that was left, those of the plan first, if it can hold what is planned.
bool read_columns(pg::Session& session, const std::vector<std::string>& planned,
                  const std::vector<ColumnType>& types, Found& found) {
  const auto rows = session.run<sql::LoadStageColumns>(found.name);
  if (rows.empty() || !rows[0].mine) return false;
  std::map<std::string, ColumnType> present;
  std::vector<std::string> in_order;
  for (const auto row : rows) {
    in_order.emplace_back(row.name);
    present.emplace(row.name,
                    type_of(static_cast<pg::Oid>(row.type_id), row.modifier, std::string(row.type)));
  }
  // It was made with the columns of the plan, its own two behind them, and what came later behind those.
  if (in_order.size() < planned.size() + 2) return false;
  found.table.line = in_order[planned.size()];
  found.table.part = in_order[planned.size() + 1];
  found.columns = planned;
  for (std::size_t i = 0; i < planned.size(); ++i) {
    const auto at = present.find(planned[i]);
    if (at == present.end() || !can_hold(at->second, types[i])) return false;
    found.types.push_back(at->second);
  }
  const std::set<std::string> known(planned.begin(), planned.end());
  for (const std::string& name : in_order) {
    if (known.contains(name) || name == found.table.line || name == found.table.part) continue;
    found.columns.push_back(name);
    found.types.push_back(present.at(name));
  }
  return true;
}

/// What the catalogue has of the stage, asked once its lock is held: until then another load may make it
/// anew.
struct Present {
  bool mine = false;
  std::string signature;
};
std::optional<Present> look_at(pg::Session& session, const Target& target, const std::string& name) {
  const auto stages = session.run<sql::LoadStages>(std::int64_t{target.oid});
  for (const auto stage : stages) {
    if (stage.name == name) return Present{stage.mine, std::string(stage.signature)};
  }
  return std::nullopt;
}

/// What the run left: the stage with an unbroken row of chunks; the rest of it is taken out.
std::optional<Found> find_left(pg::Session& session, const std::vector<std::string>& columns,
                               const std::vector<ColumnType>& types, std::int64_t run) {
  std::string name;
  {
    const auto known = session.run<sql::LoadChunks>(run);
    if (known.empty()) return std::nullopt;
    name = std::string(known[0].stage);
  }
  Found found{.name = name, .table = {.sql = stage_table(name)}, .columns = {}, .types = {}};
  if (!lock_stage(session, found.name)) {
    throw Error(ExitCode::refused, fmt::format("load {} is running in another process", run),
                "Wait for it, or end it; weir load show tells how far it is.");
  }
  const auto chunks = session.run<sql::LoadChunks>(run);  // as they are now that nobody else writes them
  if (!read_columns(session, columns, types, found)) {
    unlock_stage(session, found.name);
    return std::nullopt;
  }
  Stage::Resume resume{.chunk = -1};
  for (const auto chunk : chunks) {
    if (chunk.chunk != resume.chunk + 1) break;
    resume.chunk = chunk.chunk;
    resume.position = std::string(chunk.position.text);
    resume.rows += chunk.rows;
    resume.rejects += chunk.rejects;
  }
  pg::Transaction transaction(session);
  session.execute(fmt::format("DELETE FROM {0} WHERE {1} > $1 OR {1} < -1 - $1", found.table.sql,
                              pg::quote_identifier(found.table.part)),
                  resume.chunk);
  forget(session, run, resume.chunk);
  transaction.commit();
  if (resume.chunk >= 0) found.resume = std::move(resume);
  return found;
}

void drop_lost(pg::Session& session, std::int64_t run) {
  const auto lost = session.run<sql::LoadLostStages>(run);
  for (const auto stage : lost) {
    const std::string name(stage.name);
    if (!lock_stage(session, name)) continue;
    pg::Transaction transaction(session);
    session.execute("DROP TABLE IF EXISTS " + stage_table(name));
    session.run<sql::LoadForgetStage>(name, run);
    transaction.commit();
    unlock_stage(session, name);
  }
}

std::string take_free(pg::Session& session, const std::string& signature, const Target& target,
                      std::int64_t run) {
  if (target.oid == 0) {
    // Of tables that are not there yet no number tells one from the other: each load has a stage of its own.
    const std::string name = stage_name(0, run);
    if (!lock_stage(session, name))
      throw Error(ExitCode::refused, fmt::format("load {} is running in another process", run));
    pg::Transaction transaction(session);
    session.execute("DROP TABLE IF EXISTS " + stage_table(name));
    session.execute(create_stage_sql(name, signature));
    forget(session, run, -1);
    transaction.commit();
    return name;
  }
  for (std::int64_t number = 1;; ++number) {
    const std::string name = stage_name(target.oid, number);
    if (!lock_stage(session, name)) continue;
    const auto present = look_at(session, target, name);
    if (present && !present->mine) {
      unlock_stage(session, name);
      continue;
    }
    pg::Transaction transaction(session);
    if (present && present->signature == signature) {
      session.execute("TRUNCATE " + stage_table(name));
    } else {
      if (present) session.execute("DROP TABLE " + stage_table(name));
      session.execute(create_stage_sql(name, signature));
    }
    session.run<sql::LoadForgetStage>(name, run);
    forget(session, run, -1);
    transaction.commit();
    return name;
  }
}

}  // namespace

Stage::Stage(pg::Session& holder, std::string name, StageTable table, std::int64_t run, bool once)
    : holder_(&holder), name_(std::move(name)), table_(std::move(table)), run_(run), once_(once) {}

Stage::Stage(Stage&& other) noexcept
    : holder_(std::exchange(other.holder_, nullptr)),
      name_(std::move(other.name_)),
      table_(std::move(other.table_)),
      run_(other.run_),
      once_(other.once_),
      types_(std::move(other.types_)),
      columns_(std::move(other.columns_)),
      resume_(std::move(other.resume_)) {}

Stage::~Stage() {
  if (holder_ == nullptr || !holder_->is_open()) return;
  try {
    unlock_stage(*holder_, name_);
  } catch (...) {
    holder_->close();  // which lets go of the lock as well
  }
}

Stage Stage::open(pg::Session& holder, const Target& target, const LoadSpec& spec, std::int64_t run) {
  require_stage_schema(holder);
  const std::vector<ColumnType> types = stage_types(target, spec.columns);
  StageTable table;
  table.avoid(spec.columns);
  const std::string signature = stage_signature(table, spec.columns, types);
  drop_lost(holder, run);
  std::optional<Found> found = find_left(holder, spec.columns, types, run);
  if (!found) {
    forget(holder, run, -1);
    const std::string name = take_free(holder, signature, target, run);
    table.sql = stage_table(name);
    found = Found{.name = name, .table = std::move(table), .columns = spec.columns, .types = types};
  }
  // Also of a run that was killed behind the making of its table.
  const bool once = found->name == stage_name(0, run) || spec.mode == Mode::swap;
  Stage stage(holder, std::move(found->name), std::move(found->table), run, once);
  stage.types_ = std::move(found->types);
  stage.columns_ = std::move(found->columns);
  stage.resume_ = std::move(found->resume);
  return stage;
}

void Stage::change(pg::Session& session, const Drift& drift) {
  if (drift.none()) return;
  pg::Transaction transaction(session);
  // What becomes text is written in one form, whatever the session was told.
  transaction.set_local("DateStyle", "ISO, YMD");
  transaction.set_local("TimeZone", "UTC");
  transaction.set_local("bytea_output", "hex");
  transaction.set_local("extra_float_digits", "1");
  const StageTable now = make_way(session, drift);
  session.execute(change_stage_sql(now.sql, columns_, types_, drift));
  transaction.commit();
  table_ = now;
  for (const NewColumn& column : drift.widened) {
    const auto at = std::find(columns_.begin(), columns_.end(), column.name) - columns_.begin();
    types_.at(static_cast<std::size_t>(at)) = column.type;
  }
  for (const NewColumn& column : drift.added) {
    columns_.push_back(column.name);
    types_.push_back(column.type);
  }
}

/// A column that comes later may be called as one of the stage's own two.
StageTable Stage::make_way(pg::Session& session, const Drift& drift) const {
  std::vector<std::string> taken = columns_;
  for (const NewColumn& column : drift.added) taken.push_back(column.name);
  StageTable free = table_;
  free.avoid(taken);
  for (const auto& [old_name, new_name] :
       {std::pair(table_.line, free.line), std::pair(table_.part, free.part)}) {
    if (old_name == new_name) continue;
    session.execute(fmt::format("ALTER TABLE {} RENAME COLUMN {} TO {}", table_.sql,
                                pg::quote_identifier(old_name), pg::quote_identifier(new_name)));
  }
  return free;
}

Stage::Sealed Stage::seal(pg::Session& session, std::int64_t chunks) {
  const auto answer = session.run<sql::LoadStageTotals>(run_);
  const auto totals = answer.one();
  if (totals.chunks != chunks || totals.last_chunk != chunks - 1) {
    throw Error(ExitCode::failed,
                fmt::format("the stage holds {} of {} pieces: the server was restarted after a crash, or an "
                            "administrator has emptied it",
                            totals.chunks, chunks),
                "Run the load again: the target is as it was.");
  }
  session.execute("ANALYZE " + sql());
  const pg::Result size = session.execute("SELECT pg_total_relation_size($1::text::regclass)", sql());
  return {.table = table_,
          .run = run_,
          .chunks = chunks,
          .rows = totals.rows,
          .rejects = totals.rejects,
          .bytes = size[0].get<std::int64_t>(0)};
}

void Stage::clear(pg::Session& session) {
  if (once_) return drop(session);
  pg::Transaction transaction(session);
  session.execute("TRUNCATE " + sql());
  forget(session, run_, -1);
  transaction.commit();
}

void Stage::drop(pg::Session& session) {
  pg::Transaction transaction(session);
  // Who still reads it is a session that was lost at its COMMIT; the next load drops what is not dropped
  // here.
  transaction.set_local("lock_timeout", "2s");
  session.execute("DROP TABLE IF EXISTS " + sql());
  forget(session, run_, -1);
  transaction.commit();
}

StageChunk::StageChunk(pg::Session& session, const Stage& stage, std::int64_t chunk)
    : stage_(&stage), session_(&session), chunk_(chunk), transaction_(session) {
  copy_.emplace(session, copy_stage_sql(stage.table_, stage.columns_));
}

void StageChunk::write(std::string_view bytes) {
  bytes_ += static_cast<std::int64_t>(bytes.size());
  copy_->write(bytes);
}

void StageChunk::commit(std::string_view position, const std::vector<Reject>& rejects) {
  std::int64_t rows = copy_->finish();
  copy_.reset();
  std::vector<std::int64_t> lines;
  std::vector<std::string_view> files;
  std::vector<std::string_view> columns;
  std::vector<std::string_view> states;
  std::vector<std::string_view> reasons;
  std::vector<pg::BytesView> raws;
  std::vector<bool> staged;
  for (const Reject& reject : rejects) {
    lines.push_back(reject.line);
    files.emplace_back(reject.file);
    columns.emplace_back(reject.column);
    states.emplace_back(reject.sqlstate);
    reasons.emplace_back(reject.reason);
    raws.push_back({std::as_bytes(std::span(reject.raw))});
    staged.push_back(reject.key_is_staged);
    if (reject.key_is_staged) --rows;
  }
  if (!rejects.empty()) {
    session_->run<sql::LoadAddStageRejects>(stage_->run_, chunk_, lines, files, columns, states, reasons,
                                            raws, staged);
  }
  session_->run<sql::LoadAddChunk>(stage_->run_, chunk_, stage_->name_, rows,
                                   static_cast<std::int64_t>(rejects.size()), bytes_,
                                   pg::JsonView{position.empty() ? "null" : position});
  transaction_.commit();
}

}  // namespace weir::load
