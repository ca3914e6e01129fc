#include "load/write/swap.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "base/wait.h"
#include "load/write/apply_attempt.h"
#include "load/write/apply_meter.h"
#include "load/write/doubt.h"
#include "load/write/load_sql.h"
#include "load/write/patience.h"
#include "load/write/run.h"
#include "load/write/target_lock.h"
#include "pg/identifier.h"
#include "schema/queries/load_swaps.h"
#include "schema/queries/load_targets.h"
#include "schema/queries/loads.h"

namespace weir::load {
namespace {

using pg::quote_identifier;

/// The relation that is replaced: the target, or one partition of it.
struct Place {
  std::int64_t id = 0;
  std::string schema;
  std::string name;
  std::string bound{};      ///< of a partition
  std::string condition{};  ///< the same as a CHECK
  [[nodiscard]] std::string sql() const { return quote_identifier(schema) + "." + quote_identifier(name); }
};

class Swap {
 public:
  Swap(const std::function<pg::Session()>& connect, const Target& target, const LoadSpec& spec,
       const Stage::Sealed& stage, const std::optional<StateChange>& state, const ApplyOptions& options)
      : connect_(connect),
        target_(target),
        spec_(spec),
        stage_(stage),
        state_(state),
        options_(options),
        new_name_(fmt::format("new_{}", target.oid)),
        applied_(Applied::behind(options)) {
    // A refused record would take the old row of its key with it.
    spec_.rejects = {};
  }

  /// Nothing when the answer to COMMIT was lost and it was not carried out.
  std::optional<Applied> run() {
    pg::Session session = connect_();
    const ApplyMeter meter(session);
    session.set_timeout(std::chrono::hours(24));
    session.set_stop(options_.stop);
    applied_.longest_wait =
        std::max(applied_.longest_wait, lock_target(session, target_, options_, TargetLock::session));
    session.set("lock_timeout", limit_of(options_.lock_timeout));
    find_place(session);
    build(session);
    try {
      put_in_place(session, meter);
    } catch (const pg::InDoubt& doubt) {
      if (!was_applied(connect_, target_, stage_.run, options_, doubt)) return std::nullopt;
      applied_.was_in_doubt = true;
    } catch (...) {
      drop_new(session);
      throw;
    }
    applied_.took = meter.took();  // as in an apply: nothing that may fail comes behind the commit
    return applied_;
  }

  [[nodiscard]] std::int64_t duplicates() const noexcept { return applied_.duplicates; }

 private:
  [[nodiscard]] bool of_partition() const { return spec_.mode == Mode::partition_swap; }
  [[nodiscard]] std::string built() const { return "weir_stage." + quote_identifier(new_name_); }

  void find_place(pg::Session& session) {
    place_ = {.id = std::int64_t{target_.oid}, .schema = target_.schema, .name = target_.name};
    if (!of_partition()) return;
    for (const Partition& partition : target_.partitions) {
      if (!partition.is_called(spec_.partition)) continue;
      const auto found = session.run<sql::LoadPartition>(partition.sql());
      const auto row = found.one();
      place_ = {.id = row.id,
                .schema = partition.schema,
                .name = partition.name,
                .bound = std::string(row.bound),
                .condition = std::string(row.condition.value_or("true"))};
    }
  }

  void build(pg::Session& session) {
    tell(ApplyEvent::Kind::writing, "build");
    pg::Transaction transaction(session);
    ApplyAttempt check(session, target_, spec_, stage_, state_, options_, false);
    const std::int64_t rows = check.check();
    applied_.duplicates = check.result().duplicates;
    guard(session, rows);
    session.execute("DROP TABLE IF EXISTS " + built());
    session.execute(fmt::format("CREATE {}TABLE {} (LIKE {} INCLUDING ALL){}",
                                target_.unlogged ? "UNLOGGED " : "", built(), place_.sql(),
                                storage(session)));
    const pg::Result id = session.execute("SELECT $1::text::regclass::oid::int8", built());
    new_id_ = id[0].get<std::int64_t>(0);
    if (of_partition()) {
      session.execute(
          fmt::format("ALTER TABLE {} ADD CONSTRAINT weir_bound CHECK ({})", built(), place_.condition));
    }
    const LoadSql sql(target_, spec_, stage_.table);
    fill(session, sql);
    mark_indexes(session);
    run_all(session, session.run<sql::LoadLikeness>(place_.id, new_id_));
    const auto statistics = session.run<sql::LoadStatistics>(place_.id, new_id_);
    for (const auto row : statistics) {
      if (row.setting) session.execute(std::string(*row.setting));
    }
    session.execute("ANALYZE " + built());
    applied_.inserted = rows;
    applied_.deleted = applied_.rows_before;
    transaction.commit();
  }

  [[nodiscard]] std::string storage(pg::Session& session) const {
    const auto answer = session.run<sql::LoadStorage>(place_.id);
    const auto row = answer.one();
    return fmt::format("{}{} TABLESPACE {}", row.method ? " USING " : "",
                       row.method ? quote_identifier(*row.method) : "", quote_identifier(row.tablespace));
  }

  /// As long as it is this session's: another owner could forbid it.
  void mark_indexes(pg::Session& session) const {
    const auto indexes = session.run<sql::LoadIndexNames>(place_.id, new_id_);
    for (const auto index : indexes) {
      const std::string name = quote_identifier(index.new_name);
      if (index.is_identity)
        session.execute(fmt::format("ALTER TABLE {} REPLICA IDENTITY USING INDEX {}", built(), name));
      if (index.is_clustered) session.execute(fmt::format("ALTER TABLE {} CLUSTER ON {}", built(), name));
      if (index.comment) {
        session.execute(fmt::format("COMMENT ON CONSTRAINT {} ON {} IS {}", name, built(),
                                    pg::quote_literal(*index.comment)));
      }
    }
  }

  void fill(pg::Session& session, const LoadSql& sql) {
    try {
      session.execute(fmt::format("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {}{}", built(),
                                  sql.column_list(), sql.given_list(), sql.from_stage()));
    } catch (const pg::Error& error) {
      if (!is_of_a_row(error)) throw;
      if (error.info().constraint == "weir_bound") {
        throw Error(
            ExitCode::refused,
            fmt::format("a record does not belong into partition {} ({}): {}", place_.name, place_.bound,
                        detail_of(error)),
            "Nothing was changed. Leave such records out, or use --mode window or refresh, which write into "
            "every partition.");
      }
      throw Error(
          ExitCode::refused,
          fmt::format("{} cannot be built from the source: {}", place_.name, reason_of(error)),
          "Nothing was changed. Mend the record; --mode refresh with --max-rejects would reject it alone.");
    }
  }

  void guard(pg::Session& session, std::int64_t rows) {
    if (rows == 0 && !spec_.guard.allow_empty) {
      throw Error(ExitCode::refused,
                  fmt::format("the source has no rows, and {} would be emptied by it", place_.name),
                  "Look at the source. If it is right: --allow-empty.");
    }
    applied_.rows_before = session.execute("SELECT count(*) FROM " + place_.sql())[0].get<std::int64_t>(0);
    const std::int64_t lost = applied_.rows_before - rows;
    if (rows == 0 || spec_.guard.allow_mass_delete ||
        static_cast<double>(lost) <= spec_.guard.max_delete_share * static_cast<double>(applied_.rows_before))
      return;
    throw Error(ExitCode::refused,
                fmt::format("{} has {} rows and would have {} ({:.0f} % less are allowed)", place_.name,
                            human_count(applied_.rows_before), human_count(rows),
                            100.0 * spec_.guard.max_delete_share),
                "Nothing was changed. If the source is complete: --allow-mass-delete.");
  }

  /// What the new table was made like is what it replaces: a column that was added meanwhile would be lost.
  void require_same_columns(pg::Session& session) const {
    const auto others = session.run<sql::LoadOtherColumns>(place_.id, new_id_);
    if (others.empty()) return;
    throw Error(ExitCode::refused,
                fmt::format("{} has got other columns while its replacement was built, such as {}",
                            place_.name, printable(others[0].name)),
                "Nothing was changed. Run the load again.");
  }

  /// Another may have replaced it who asks for no lock of Weir's.
  void require_same_place(pg::Session& session) const {
    const pg::Result now = session.execute(
        "SELECT coalesce(to_regclass($1)::oid::int8, 0) = $2::int8 AND coalesce(to_regclass($3)::oid::int8, "
        "0) = "
        "$4::int8",
        target_.sql(), std::int64_t{target_.oid}, place_.sql(), place_.id);
    if (!now[0].get<bool>(0)) refuse_moved(target_);
  }

  template <class Rows>
  static void run_all(pg::Session& session, const Rows& statements) {
    for (const auto row : statements) session.execute(std::string(row.statement));
  }

  void put_in_place(pg::Session& session, const ApplyMeter& meter) {
    std::string why;
    for (int attempt = 1; attempt <= options_.swap_attempts; ++attempt) {
      try {
        applied_.attempts = attempt;
        exchange(session, meter);
        return;
      } catch (const pg::LockTimeout& error) {
        why = error.what();
        applied_.longest_wait = std::max(applied_.longest_wait, options_.swap_lock_timeout);
      } catch (const pg::Retryable& error) {
        why = error.what();
      }
      const Duration delay = retry_pause(std::min(attempt, 4));
      if (options_.on_event)
        options_.on_event({.kind = ApplyEvent::Kind::retrying, .text = why, .delay = delay});
      Wakeup wakeup;
      if (wait_fd(-1, 0, Deadline::after(delay), options_.stop, wakeup) == WaitEnd::stopped)
        pg::raise({.kind = pg::ErrorKind::stopped, .message = "stopped before the swap"});
    }
    std::string message =
        fmt::format("{} was not swapped: {} (tried {} times)", place_.name, why, options_.swap_attempts);
    const auto holders = session.run<sql::LoadLockHolders>(place_.id);
    for (const auto holder : holders) message += "; in the way: " + printable(holder.description);
    throw Error(ExitCode::failed, message,
                "Wait until they have finished, or use --mode refresh, which waits for no reader.");
  }

  void exchange(pg::Session& session, const ApplyMeter& meter) {
    pg::Transaction transaction(session);
    transaction.set_local("lock_timeout", limit_of(options_.swap_lock_timeout));
    const auto views = session.run<sql::LoadViews>(place_.id);
    const SteadyTime before = std::chrono::steady_clock::now();
    session.execute(fmt::format("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", target_.sql()));
    require_same_place(session);
    applied_.longest_wait =
        std::max<Duration>(applied_.longest_wait, std::chrono::steady_clock::now() - before);
    tell(ApplyEvent::Kind::writing, "swap");
    require_same_columns(session);
    // Also what was written between the description and now is replaced: that is what a swap is.
    if (state_) advance_state(session, *state_, stage_.run, stage_.rows);
    run_all(session, session.run<sql::LoadIdentities>(place_.id, new_id_));
    std::vector<std::string> rights;  // of views, in their order
    rights.reserve(static_cast<std::size_t>(views.size()));
    for (const auto view : views) rights.push_back(grants(session, view.id, std::string(view.name)));
    for (int i = views.size() - 1; i >= 0; --i) session.execute("DROP VIEW " + std::string(views[i].name));
    if (of_partition())
      session.execute(fmt::format("ALTER TABLE {} DETACH PARTITION {}", target_.sql(), place_.sql()));
    replace(session);
    if (of_partition()) {
      session.execute(
          fmt::format("ALTER TABLE {} ATTACH PARTITION {} {}", target_.sql(), place_.sql(), place_.bound));
      session.execute(fmt::format("ALTER TABLE {} DROP CONSTRAINT weir_bound", place_.sql()));
    }
    for (int i = 0; i < views.size(); ++i) {
      session.execute_script(std::string(views[i].definition));
      give_rights(session, std::string(views[i].name), rights[static_cast<std::size_t>(i)]);
    }
    applied_.strongest_lock = LockMode::access_exclusive;
    applied_.waiting = Applied::behind(options_).waiting;  // not that of an attempt that was undone
    applied_.waiting.add(look_who_waits(session));
    meter.read(session, applied_);
    finish_run(session, stage_.run, 0, applied_.to_json(options_.losses));
    if (options_.before_commit) options_.before_commit(session);
    transaction.commit();
  }

  /// The new table gets the names, the owner and the rights of the old one, which goes.
  void replace(pg::Session& session) {
    const auto indexes = session.run<sql::LoadIndexNames>(place_.id, new_id_);
    const auto sequences = session.run<sql::LoadOwnedSequences>(place_.id);
    const auto identities = session.run<sql::LoadIdentitySequences>(place_.id, new_id_);
    const std::string schema = quote_identifier(place_.schema);
    const auto within = [&](std::string_view name) { return schema + "." + quote_identifier(name); };
    if (place_.schema != "weir_stage")
      session.execute(fmt::format("ALTER TABLE {} SET SCHEMA {}", built(), schema));
    const std::string moved = within(new_name_);
    take_owner(session, moved);
    const auto statistics = session.run<sql::LoadStatistics>(place_.id, new_id_);
    for (const auto sequence : sequences) {
      session.execute(fmt::format("ALTER SEQUENCE {} OWNED BY {}.{}", sequence.name, moved,
                                  quote_identifier(sequence.column_name)));
    }
    std::vector<std::string> rights;
    rights.reserve(static_cast<std::size_t>(identities.size()));
    for (const auto row : identities) rights.push_back(grants(session, row.old_id, within(row.old_name)));
    const std::string of_table = grants(session, place_.id, place_.sql());
    session.execute("DROP TABLE " + place_.sql());
    session.execute(fmt::format("ALTER TABLE {} RENAME TO {}", moved, quote_identifier(place_.name)));
    give_rights(session, place_.sql(), of_table);
    for (const auto index : indexes) {
      if (index.old_name == index.new_name) continue;
      session.execute(fmt::format("ALTER INDEX {} RENAME TO {}", within(index.new_name),
                                  quote_identifier(index.old_name)));
    }
    for (const auto row : statistics) {
      if (!row.placing.empty()) session.execute_script(std::string(row.placing));
    }
    for (int i = 0; i < identities.size(); ++i) {
      const auto row = identities[i];
      if (row.old_name != row.new_name) {
        session.execute(fmt::format("ALTER SEQUENCE {} RENAME TO {}", within(row.new_name),
                                    quote_identifier(row.old_name)));
      }
      give_rights(session, within(row.old_name), rights[static_cast<std::size_t>(i)]);
    }
  }

  /// Before sequences become its own: those have the same owner.
  void take_owner(pg::Session& session, const std::string& moved) const {
    const auto answer = session.run<sql::LoadOwner>(place_.id);
    const auto owner = answer.one();
    if (!owner.mine)
      session.execute(fmt::format("ALTER TABLE {} OWNER TO {}", moved, quote_identifier(owner.name)));
  }

  static std::string grants(pg::Session& session, std::int64_t id, const std::string& named) {
    std::string script;
    const auto all = session.run<sql::LoadGrants>(id, named);
    for (const auto row : all) script += std::string(row.statement) + "\n";
    return script;
  }

  /// Exactly these: what default privileges gave to the new one is taken first.
  static void give_rights(pg::Session& session, const std::string& named, const std::string& grants) {
    std::string script;
    const auto all = session.run<sql::LoadRevokes>(named);
    for (const auto row : all) script += std::string(row.statement) + "\n";
    script += grants;
    if (!script.empty()) session.execute_script(script);
  }

  void drop_new(pg::Session& session) noexcept {
    try {
      if (!session.is_open()) return;
      session.set_stop({});
      session.execute("DROP TABLE IF EXISTS " + built());
    } catch (...) {
      session.close();  // the next swap of the target drops it
    }
  }

  void tell(ApplyEvent::Kind kind, std::string text) const {
    if (options_.on_event) options_.on_event({.kind = kind, .text = std::move(text)});
  }

  const std::function<pg::Session()>& connect_;
  const Target& target_;
  LoadSpec spec_;
  const Stage::Sealed& stage_;
  const std::optional<StateChange>& state_;
  const ApplyOptions& options_;
  const std::string new_name_;
  Place place_;
  std::int64_t new_id_ = 0;
  Applied applied_;
};

}  // namespace

Applied swap(const std::function<pg::Session()>& connect, const Target& target, const LoadSpec& spec,
             const Stage::Sealed& stage, const std::optional<StateChange>& state,
             const ApplyOptions& options) {
  std::int64_t duplicates = 0;
  for (int attempt = 1; attempt <= options.attempts; ++attempt) {
    Swap one(connect, target, spec, stage, state, options);
    std::optional<Applied> applied = one.run();
    duplicates += one.duplicates();  // those that the first attempt has taken out, no later one meets
    if (!applied) continue;
    applied->duplicates = duplicates;
    return std::move(*applied);
  }
  throw Error(ExitCode::failed,
              fmt::format("{} was not swapped: the connection was lost at each COMMIT (tried {} times)",
                          target.label(), options.attempts),
              "Nothing was changed. Run it again when the server can be reached.");
}

}  // namespace weir::load
