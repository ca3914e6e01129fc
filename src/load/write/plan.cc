#include "load/write/plan.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "load/write/load_sql.h"
#include "load/write/rights.h"
#include "pg/identifier.h"

namespace weir::load {
namespace {

struct LockName {
  LockMode mode;
  std::string_view words;
  std::string_view catalogue;
};
constexpr std::array<LockName, 9> kLocks{
    {{LockMode::none, "none", ""},
     {LockMode::access_share, "ACCESS SHARE", "AccessShareLock"},
     {LockMode::row_share, "ROW SHARE", "RowShareLock"},
     {LockMode::row_exclusive, "ROW EXCLUSIVE", "RowExclusiveLock"},
     {LockMode::share_update_exclusive, "SHARE UPDATE EXCLUSIVE", "ShareUpdateExclusiveLock"},
     {LockMode::share, "SHARE", "ShareLock"},
     {LockMode::share_row_exclusive, "SHARE ROW EXCLUSIVE", "ShareRowExclusiveLock"},
     {LockMode::exclusive, "EXCLUSIVE", "ExclusiveLock"},
     {LockMode::access_exclusive, "ACCESS EXCLUSIVE", "AccessExclusiveLock"}}};

class Planner {
 public:
  Planner(const Target& target, const LoadSpec& spec, const StageTable& stage)
      : target_(target), spec_(spec), stage_(stage) {}

  Plan make() {
    check_relation();
    check_rights();
    check_columns();
    check_mode();
    if (plan_.refusals.empty()) add_steps();
    return std::move(plan_);
  }

 private:
  using Kind = Dependent::Kind;

  void refuse(std::string reason, std::string remedy) {
    plan_.refusals.push_back({std::move(reason), std::move(remedy)});
  }
  void lack(std::string reason, std::string remedy) {
    plan_.refusals.push_back({std::move(reason), std::move(remedy), true});
  }
  void warn(std::string text) { plan_.warnings.push_back(std::move(text)); }
  [[nodiscard]] bool swaps() const { return spec_.mode == Mode::swap || spec_.mode == Mode::partition_swap; }
  /// A partition may be in another schema, of which nothing is known.
  [[nodiscard]] bool replaces_here() const {
    return spec_.mode == Mode::swap ||
           std::any_of(target_.partitions.begin(), target_.partitions.end(), [&](const Partition& partition) {
             return partition.is_called(spec_.partition) && partition.schema == target_.schema;
           });
  }
  [[nodiscard]] bool given(const std::string& name) const {
    return std::find(spec_.columns.begin(), spec_.columns.end(), name) != spec_.columns.end();
  }
  [[nodiscard]] std::string names(Kind kind) const {
    std::string text;
    for (const Dependent* dependent : target_.dependents_of(kind))
      text += (text.empty() ? "" : ", ") + dependent->name;
    return text;
  }

  void check_relation() {
    if (target_.kind != 'r' && target_.kind != 'p') {
      refuse(fmt::format("{} is no table", target_.label()), "Load the table behind it.");
    }
    if (target_.row_security && spec_.mode != Mode::append) {
      refuse(fmt::format("row security hides rows of {} from {}: they could be written twice or be missed",
                         target_.label(), target_.role),
             "Load as the owner of the table, or as a role with BYPASSRLS.");
    }
    if (const std::string rules = names(Kind::rule); !rules.empty()) {
      refuse(fmt::format("{} has rules ({}), which change what a statement does", target_.label(), rules),
             "Drop them: triggers serve better.");
    }
  }

  /// The new table is made by one and given to the other.
  void lack_create(const std::string& role) {
    lack(fmt::format("a swap puts another table into schema {}, where {} may not make one",
                     printable(target_.schema), role),
         fmt::format("GRANT CREATE ON SCHEMA {} TO {}; or use --mode refresh.",
                     pg::quote_identifier(target_.schema), pg::quote_identifier(role)));
  }

  void check_rights() {
    std::string missing;
    const auto need = [&](bool has, const char* right) {
      if (!has) missing += (missing.empty() ? "" : ", ") + std::string(right);
    };
    if (swaps()) {
      if (!target_.is_owner) {
        lack(fmt::format("{} belongs to {}, and only its owner may replace it", target_.label(),
                         target_.owner),
             "Load as its owner, or use --mode refresh.");
      } else if (!target_.may_create && replaces_here()) {
        lack_create(target_.role);
      } else if (!target_.owner_may_create && replaces_here()) {
        lack_create(target_.owner);
      }
      // An owner may have given up rights on what is its own: rows are counted, and the table is locked.
      need(target_.may_select, "SELECT");
      need(target_.may_lock, "UPDATE");
    } else {
      need(target_.may_insert, "INSERT");
      if (spec_.mode != Mode::append) {
        need(target_.may_select, "SELECT");
        need(target_.may_update || spec_.key.empty(), "UPDATE");
      }
      if (spec_.mode == Mode::refresh || spec_.mode == Mode::window) need(target_.may_delete, "DELETE");
    }
    if (!missing.empty()) {
      lack(fmt::format("{} may not do this to {}: {} is missing", target_.role, target_.label(), missing),
           fmt::format("GRANT {} ON {} TO {};", missing, target_.sql(), pg::quote_identifier(target_.role)));
    }
  }

  void check_columns() {
    if (spec_.columns.empty()) refuse("no column is loaded", "Give at least one.");
    for (const std::string& name : spec_.columns) {
      const TargetColumn* const column = target_.column(name);
      if (column == nullptr) {
        refuse(fmt::format("{} has no column {}", target_.label(), printable(name)),
               "Add it (--schema evolve), or leave it out.");
      } else if (column->generated) {
        refuse(fmt::format("the server computes column {} itself", printable(name)), "Leave it out.");
      }
    }
    for (const TargetColumn& column : target_.columns) {
      const bool filled = given(column.name) || !column.not_null || !column.default_sql.empty() ||
                          column.identity != '\0' || column.generated || is_history(column.name);
      if (!filled) {
        refuse(fmt::format("column {} must not be null, has no default, and the source does not give it",
                           printable(column.name)),
               "Give it, or ALTER TABLE .. ALTER COLUMN .. SET DEFAULT ..");
      }
    }
  }

  [[nodiscard]] bool is_key(const std::string& name) const {
    return std::find(spec_.key.begin(), spec_.key.end(), name) != spec_.key.end();
  }
  [[nodiscard]] bool is_history(const std::string& name) const {
    return spec_.mode == Mode::scd2 && (name == spec_.history.valid_from || name == spec_.history.valid_to ||
                                        name == spec_.history.is_current);
  }

  void check_key(bool wanted, bool unique) {
    if (spec_.key.empty()) {
      if (wanted) {
        refuse(fmt::format("mode {} needs a key", to_string(spec_.mode)),
               target_.primary_key() == nullptr ? "Give --key."
                                                : "Give --key, such as that of the primary key.");
      }
      return;
    }
    for (const std::string& name : spec_.key) {
      if (!given(name))
        refuse(fmt::format("key column {} is not in the source", printable(name)), "Give it.");
      const TargetColumn* const column = target_.column(name);
      if (column != nullptr && !column->comparable) {
        refuse(fmt::format("key column {} has type {}, which has no equality", printable(name),
                           column->type.sql),
               "Use another key.");
      }
    }
    if (unique && target_.key_of(spec_.key) == nullptr) {
      for (const UniqueKey& key : target_.keys) {
        if (key.alike ||
            !std::is_permutation(key.columns.begin(), key.columns.end(), spec_.key.begin(), spec_.key.end()))
          continue;
        return refuse(
            fmt::format("the unique index {} compares its key by another collation than the column has: "
                        "what is one key to it is two to the table",
                        printable(key.index)),
            "Give the column the collation of the index, or make one of the column's own.");
      }
      std::string list;
      for (const std::string& name : spec_.key) list += (list.empty() ? "" : ", ") + name;
      refuse(fmt::format("no unique index of {} is over exactly its key ({})", target_.label(), list),
             fmt::format("CREATE UNIQUE INDEX CONCURRENTLY ON {} ({}); or load without a key.", target_.sql(),
                         list));
    }
  }

  void check_mode() {
    switch (spec_.mode) {
      case Mode::append: break;
      case Mode::upsert: check_key(true, true); break;
      case Mode::refresh: check_key(false, true); break;
      case Mode::window:
        check_key(false, true);
        check_window();
        break;
      case Mode::scd2:
        check_key(true, false);
        check_history();
        break;
      case Mode::swap: check_swap(); break;
      case Mode::partition_swap: check_partition_swap(); break;
    }
    if (spec_.key.empty() && (spec_.mode == Mode::refresh || spec_.mode == Mode::window))
      warn(
          "without a key whole rows are compared: a change is a delete and an insert, and all rows are "
          "sorted");
    if (!swaps() && !target_.dependents_of(Kind::trigger).empty())
      warn(fmt::format("triggers run for every row that changes: {}", names(Kind::trigger)));
    check_identity();
  }

  void check_identity() {
    if (!target_.unidentified || spec_.mode == Mode::append || swaps()) return;
    const auto published = target_.dependents_of(Kind::publication);
    const auto changes = [](const Dependent* publication) { return !publication->definition.empty(); };
    if (std::none_of(published.begin(), published.end(), changes)) return;
    refuse(
        fmt::format(
            "{} is published ({}) and has no replica identity, such as a primary key: it takes no UPDATE and "
            "no DELETE",
            target_.label(), names(Kind::publication)),
        fmt::format("ALTER TABLE {0} ADD PRIMARY KEY (..); or ALTER TABLE {0} REPLICA IDENTITY USING INDEX "
                    "..; or FULL.",
                    target_.sql()));
  }

  void check_window() {
    if (!spec_.window) {
      refuse("mode window needs a window", "Give --window column:from:to.");
      return;
    }
    if (!given(spec_.window->column)) {
      refuse(fmt::format("the window's column {} is not in the source", printable(spec_.window->column)),
             "Give it.");
    }
  }

  void check_history() {
    for (const std::string& name : {spec_.history.valid_from, spec_.history.valid_to}) {
      if (target_.column(name) == nullptr) {
        refuse(fmt::format("{} has no column {} for its history", target_.label(), printable(name)),
               fmt::format("ALTER TABLE {} ADD COLUMN {} timestamptz;", target_.sql(), name));
      }
      if (given(name))
        refuse(fmt::format("the source gives column {} of the history", printable(name)), "Leave it out.");
    }
    const UniqueKey* const unique = target_.key_of(spec_.key);
    if (unique != nullptr) {
      refuse(fmt::format("index {} allows one version of each key only", unique->index),
             fmt::format("Let it be over the key and {}.", spec_.history.valid_from));
    }
  }

  struct Losable {
    Kind kind;
    const char* what;
  };

  void refuse_dependents(const std::string& label, const std::vector<Dependent>& dependents,
                         std::initializer_list<Losable> kinds, const char* instead) {
    for (const Losable& losable : kinds) {
      std::string found;
      for (const Dependent& one : dependents) {
        if (one.kind == losable.kind) found += (found.empty() ? "" : ", ") + one.name;
      }
      if (found.empty()) continue;
      refuse(fmt::format("{} has {} ({}), which a swap would lose", label, losable.what, found),
             fmt::format("Use --mode {}, which keeps them working.", instead));
    }
  }
  void refuse_published(const std::vector<Dependent>& dependents, const char* instead) {
    std::string found;
    for (const Dependent& one : dependents) {
      if (one.kind == Kind::publication && found.find(one.name) == std::string::npos)
        found += (found.empty() ? "" : ", ") + one.name;
    }
    if (found.empty()) return;
    refuse(fmt::format("{} is in publications ({}): subscribers would not hear of the rows of a swap",
                       target_.label(), found),
           fmt::format("Use --mode {}, whose changes are published.", instead));
  }

  void check_swap() {
    if (target_.kind == 'p') {
      refuse(fmt::format("{} is partitioned", target_.label()),
             "Use --mode refresh, or partition-swap for one partition.");
    }
    refuse_dependents(target_.label(), target_.dependents,
                      {{Kind::foreign_key_in, "foreign keys of others"},
                       {Kind::foreign_key_out, "foreign keys"},
                       {Kind::trigger, "triggers"},
                       {Kind::policy, "policies"},
                       {Kind::inheritance, "parents or children"},
                       {Kind::materialized_view, "materialized views"},
                       {Kind::other, "objects that depend on it or on its views"}},
                      "refresh");
    refuse_published(target_.dependents, "refresh");
    if (!spec_.recreate_views)
      refuse_dependents(target_.label(), target_.dependents, {{Kind::view, "views"}}, "refresh");
    warn(
        "a swap takes ACCESS EXCLUSIVE for milliseconds, and readers of older snapshots, or of EXECUTE that "
        "waited "
        "for it, may see no rows (docs/loads.md)");
  }

  void check_partition_swap() {
    if (target_.kind != 'p') {
      refuse(fmt::format("{} is not partitioned", target_.label()), "Use --mode swap or window.");
      return;
    }
    const auto found =
        std::find_if(target_.partitions.begin(), target_.partitions.end(),
                     [&](const Partition& partition) { return partition.is_called(spec_.partition); });
    if (found == target_.partitions.end()) {
      refuse(fmt::format("{} has no partition {}", target_.label(), printable(spec_.partition)),
             "See \\d+ of the table.");
    }
    for (const Partition& partition : target_.partitions) {
      if (!partition.is_default) continue;
      refuse(
          fmt::format("{} has a DEFAULT partition ({}): to attach another one reads all of it under ACCESS "
                      "EXCLUSIVE",
                      target_.label(), partition.name),
          "Use --mode window, or do without the DEFAULT partition.");
    }
    refuse_dependents(target_.label(), target_.dependents,
                      {{Kind::foreign_key_in, "foreign keys of others"},
                       {Kind::foreign_key_out, "foreign keys"},
                       {Kind::trigger, "triggers"},
                       {Kind::policy, "policies"}},
                      "window");
    refuse_published(target_.dependents, "window");
    if (found != target_.partitions.end()) check_partition(*found);
  }

  /// What hangs on the partition alone.
  void check_partition(const Partition& partition) {
    const std::string label = "partition " + printable(partition.name);
    if (partition.kind != 'r') {
      refuse(fmt::format("{} is {}", label, partition.kind == 'p' ? "partitioned itself" : "no plain table"),
             "Load one of its own partitions, or use --mode window.");
    }
    refuse_dependents(label, partition.dependents,
                      {{Kind::foreign_key_in, "foreign keys of others"},
                       {Kind::foreign_key_out, "foreign keys"},
                       {Kind::trigger, "triggers"},
                       {Kind::rule, "rules"},
                       {Kind::policy, "policies"},
                       {Kind::materialized_view, "materialized views"},
                       {Kind::other, "objects that depend on it or on its views"}},
                      "window");
    refuse_published(partition.dependents, "window");
    if (!spec_.recreate_views)
      refuse_dependents(label, partition.dependents, {{Kind::view, "views"}}, "window");
  }

  void step(Step::Phase phase, std::string name, std::string sql, LockMode lock, std::string note = {}) {
    plan_.steps.push_back({phase, std::move(name), std::move(sql), target_.label(), lock, std::move(note)});
  }

  void add_steps() {
    const LoadSql sql(target_, spec_, stage_);
    using Phase = Step::Phase;
    if (swaps()) {
      step(Phase::stage, "build", "CREATE TABLE .. (LIKE .. INCLUDING ALL); INSERT; ANALYZE",
           LockMode::access_share, "aside, as long as it takes");
      step(Phase::swap, spec_.mode == Mode::swap ? "rename" : "detach and attach", "",
           LockMode::access_exclusive, "milliseconds, under lock_timeout 50 ms, tried again with pauses");
      return;
    }
    const std::vector<bool> all(spec_.columns.size(), true);
    if (const auto nulls = sql.reject_nulls())
      step(Phase::check, "nulls", *nulls, LockMode::none, "in the stage");
    if (spec_.mode == Mode::append) {
      step(Phase::apply, "insert", sql.append(), LockMode::row_exclusive);
      return;
    }
    if (sql.has_key())
      step(Phase::check, "duplicates", sql.drop_duplicates(), LockMode::none, "in the stage");
    step(Phase::apply, "difference", sql.diff(), LockMode::access_share,
         sql.has_key() ? "into a temporary table" : "of whole rows, into a temporary table");
    if (spec_.mode == Mode::scd2) {
      step(Phase::apply, "close", sql.close_removed(), LockMode::row_exclusive,
           "versions of keys that are gone");
      step(Phase::apply, "close changed", sql.close_changed(), LockMode::row_exclusive);
      step(Phase::apply, "open", sql.open_versions(), LockMode::row_exclusive);
    } else {
      if (spec_.mode != Mode::upsert) {
        step(Phase::apply, "delete", sql.remove(), LockMode::row_exclusive,
             spec_.guard.allow_mass_delete
                 ? "any number"
                 : fmt::format("at most {:.0f} % of the rows", 100.0 * spec_.guard.max_delete_share));
      }
      if (sql.has_key() && spec_.columns.size() > spec_.key.size())
        step(Phase::apply, "update", sql.update(all), LockMode::row_exclusive, "columns that change");
      step(Phase::apply, "insert", sql.insert(), LockMode::row_exclusive, "in the order of the key");
    }
    step(Phase::care, "vacuum", "VACUUM (TRUNCATE off, ANALYZE)", LockMode::share_update_exclusive,
         "after the commit, when more than a tenth is dead");
  }

  const Target& target_;
  const LoadSpec& spec_;
  const StageTable& stage_;
  Plan plan_;
};

}  // namespace

std::string_view to_string(LockMode mode) noexcept {
  for (const LockName& lock : kLocks) {
    if (lock.mode == mode) return lock.words;
  }
  return "unknown";
}

LockMode parse_lock_mode(std::string_view text) noexcept {
  for (const LockName& lock : kLocks) {
    if (lock.catalogue == text) return lock.mode;
  }
  return LockMode::none;
}

std::string_view to_string(Step::Phase phase) noexcept {
  switch (phase) {
    case Step::Phase::columns: return "columns";
    case Step::Phase::stage: return "stage";
    case Step::Phase::check: return "check";
    case Step::Phase::apply: return "apply";
    case Step::Phase::swap: return "swap";
    case Step::Phase::care: return "care";
  }
  return "unknown";
}

LockMode Plan::strongest(std::string_view relation) const noexcept {
  LockMode found = LockMode::none;
  for (const Step& step : steps) {
    if (step.relation == relation && step.phase != Step::Phase::care) found = std::max(found, step.lock);
  }
  return found;
}

void Plan::require() const {
  if (refusals.empty()) return;
  const Refusal& first = refusals.front();
  if (first.of_rights) throw MissingRight(first.reason, first.remedy);
  throw Error(ExitCode::refused, first.reason, first.remedy);
}

ExitCode Plan::exit_code() const noexcept {
  if (refusals.empty()) return ExitCode::ok;
  return refusals.front().of_rights ? ExitCode::database : ExitCode::refused;
}

Plan make_plan(const Target& target, const LoadSpec& spec, const StageTable& stage, int /*server_version*/) {
  return Planner(target, spec, stage).make();
}

}  // namespace weir::load
