#include "load/write/target.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "base/wait.h"
#include "load/write/patience.h"
#include "pg/identifier.h"
#include "pg/session.h"
#include "schema/queries/load_targets.h"

namespace weir::load {
namespace {

constexpr int kMostDescriptions = 8;

std::string qualified(std::string_view schema, std::string_view name) {
  const std::string quoted = pg::quote_identifier(name);
  return schema.empty() ? quoted : pg::quote_identifier(schema) + "." + quoted;
}

[[noreturn]] void no_table_name(std::string_view text) {
  throw Error(ExitCode::usage, fmt::format("'{}' is no name of a table", printable(text)),
              "Write it as in SQL: rates, app.rates or \"Odd name\".");
}

/// PostgreSQL cuts longer names without a word: two of them could be one table.
constexpr std::size_t kLongestName = 63;

void require_short(const std::string& part) {
  if (part.size() <= kLongestName) return;
  throw Error(ExitCode::usage,
              fmt::format("the name {} has {} bytes; a table of PostgreSQL has {} at most", printable(part),
                          part.size(), kLongestName),
              "Give a shorter one.");
}

/// One part of a name, from `at` on; behind it afterwards.
std::string name_part(std::string_view text, std::size_t& at) {
  std::string part;
  if (at < text.size() && text[at] == '"') {
    for (++at; at < text.size(); ++at) {
      if (text[at] != '"') {
        part += text[at];
      } else if (at + 1 < text.size() && text[at + 1] == '"') {
        part += text[++at];
      } else {
        ++at;
        return part;
      }
    }
    no_table_name(text);
  }
  for (; at < text.size() && text[at] != '.'; ++at) {
    char c = text[at];
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    const bool begins = (c >= 'a' && c <= 'z') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
    if (!begins && (part.empty() || !((c >= '0' && c <= '9') || c == '$'))) no_table_name(text);
    part += c;
  }
  return part;
}

std::optional<Dependent::Kind> dependent_kind(std::string_view word) {
  using Kind = Dependent::Kind;
  if (word == "foreign_key_in") return Kind::foreign_key_in;
  if (word == "foreign_key_out") return Kind::foreign_key_out;
  if (word == "trigger") return Kind::trigger;
  if (word == "rule") return Kind::rule;
  if (word == "policy") return Kind::policy;
  if (word == "publication") return Kind::publication;
  if (word == "inheritance" || word == "partition") return Kind::inheritance;
  return Kind::other;
}

std::vector<std::string> copies(const std::vector<std::string_view>& views) {
  return {views.begin(), views.end()};
}

void describe_columns(pg::Session& session, std::int64_t id, Target& target) {
  const auto columns = session.run<sql::LoadColumns>(id);
  for (const auto row : columns) {
    target.columns.push_back(
        {.name = std::string(row.name),
         .type = type_of(static_cast<pg::Oid>(row.type_id), row.modifier, std::string(row.type)),
         .not_null = row.not_null,
         .default_sql = std::string(row.default_sql.value_or("")),
         .identity = row.identity.empty() ? '\0' : row.identity.front(),
         .generated = row.generated,
         .comparable = row.comparable,
         .exact = row.exact,
         .collation = std::string(row.collation.value_or("")),
         .uncut = std::string(row.uncut.value_or("")),
         .may_insert = row.may_insert,
         .may_update = row.may_update});
  }
}

void mark_pinned(pg::Session& session, std::int64_t id, Target& target) {
  const auto pinned = session.run<sql::LoadPinnedColumns>(id);
  for (const auto row : pinned) {
    for (TargetColumn& column : target.columns) column.pinned = column.pinned || column.name == row.name;
  }
}

void describe_constraints(pg::Session& session, std::int64_t id, Target& target) {
  const auto keys = session.run<sql::LoadKeys>(id);
  for (const auto row : keys) {
    target.keys.push_back({.index = std::string(row.index_name),
                           .columns = copies(row.columns),
                           .primary = row.is_primary,
                           .deferrable = row.deferrable,
                           .alike = row.alike});
  }
  const auto checks = session.run<sql::LoadChecks>(id);
  for (const auto row : checks)
    target.checks.push_back({.name = std::string(row.name), .expression = std::string(row.expression)});
  const auto references = session.run<sql::LoadForeignKeys>(id);
  for (const auto row : references) {
    target.foreign_keys.push_back({.name = std::string(row.name),
                                   .other = std::string(row.other),
                                   .columns = copies(row.columns),
                                   .other_columns = copies(row.other_columns)});
  }
}

std::vector<Dependent> dependents_of(pg::Session& session, std::int64_t id) {
  std::vector<Dependent> all;
  const auto dependents = session.run<sql::LoadDependents>(id);
  for (const auto row : dependents) {
    all.push_back({.kind = dependent_kind(row.kind).value_or(Dependent::Kind::other),
                   .name = std::string(row.name),
                   .definition = std::string(row.definition)});
  }
  const auto views = session.run<sql::LoadViews>(id);
  for (const auto row : views) {
    all.push_back({.kind = row.kind == "v"   ? Dependent::Kind::view
                           : row.kind == "m" ? Dependent::Kind::materialized_view
                                             : Dependent::Kind::other,
                   .name = std::string(row.name),
                   .definition = std::string(row.definition)});
  }
  return all;
}

void describe_surroundings(pg::Session& session, std::int64_t id, const std::string& partition,
                           Target& target) {
  target.dependents = dependents_of(session, id);
  const auto partitions = session.run<sql::LoadPartitions>(id);
  for (const auto row : partitions) {
    Partition& one = target.partitions.emplace_back(Partition{.schema = std::string(row.schema_name),
                                                              .name = std::string(row.name),
                                                              .bound = std::string(row.bound),
                                                              .is_default = row.is_default,
                                                              .kind = row.kind.front()});
    if (!one.is_called(partition)) continue;
    one.dependents = dependents_of(session, row.id);
    // That it is one is no reason.
    std::erase_if(one.dependents, [](const Dependent& d) { return d.kind == Dependent::Kind::inheritance; });
  }
}

std::optional<Target> describe_once(pg::Session& session, const std::string& name,
                                    const std::string& partition) {
  const auto answer = session.run<sql::LoadTarget>(name);
  const auto row = answer.one();
  if (!row.id) return std::nullopt;
  Target target;
  target.oid = static_cast<pg::Oid>(*row.id);
  target.schema = row.schema_name.value_or("");
  target.name = row.table_name.value_or("");
  target.kind = row.kind.value_or("r").front();
  target.owner = row.owner.value_or("");
  target.row_security = row.row_security.value_or(false);
  target.unidentified = row.unidentified.value_or(false);
  target.unlogged = row.unlogged.value_or(false);
  target.estimated_rows = row.estimated_rows.value_or(0);
  target.bytes = row.bytes.value_or(0);
  target.may_select = row.may_select.value_or(false);
  target.may_insert = row.may_insert.value_or(false);
  target.may_update = row.may_update.value_or(false);
  target.may_delete = row.may_delete.value_or(false);
  target.may_lock = row.may_lock.value_or(false);
  target.may_create = row.may_create.value_or(false);
  target.owner_may_create = row.owner_may_create.value_or(false);
  target.is_owner = row.is_owner.value_or(false);
  target.role = row.role_name;
  describe_columns(session, *row.id, target);
  mark_pinned(session, *row.id, target);
  describe_constraints(session, *row.id, target);
  describe_surroundings(session, *row.id, partition, target);
  return target;
}

}  // namespace

std::string Partition::sql() const { return qualified(schema, name); }
std::string TableName::sql() const { return qualified(schema, name); }
std::string Target::sql() const { return qualified(schema, name); }
std::string Target::label() const { return schema == "public" ? name : schema + "." + name; }

const TargetColumn* Target::column(std::string_view wanted) const {
  const auto found = std::find_if(columns.begin(), columns.end(),
                                  [&](const TargetColumn& column) { return column.name == wanted; });
  return found == columns.end() ? nullptr : &*found;
}

const UniqueKey* Target::key_of(const std::vector<std::string>& wanted) const {
  for (const UniqueKey& key : keys) {
    if (key.alike &&
        std::is_permutation(key.columns.begin(), key.columns.end(), wanted.begin(), wanted.end()))
      return &key;
  }
  return nullptr;
}

const UniqueKey* Target::primary_key() const {
  return keys.empty() || !keys.front().primary ? nullptr : &keys.front();
}

std::vector<const Dependent*> Target::dependents_of(Dependent::Kind wanted) const {
  std::vector<const Dependent*> found;
  for (const Dependent& dependent : dependents) {
    if (dependent.kind == wanted) found.push_back(&dependent);
  }
  return found;
}

TableName parse_table_name(std::string_view text) {
  std::size_t at = 0;
  TableName name;
  name.name = name_part(text, at);
  if (at < text.size() && text[at] == '.') {
    ++at;
    name.schema = std::move(name.name);
    name.name = name_part(text, at);
    if (name.schema.empty()) no_table_name(text);
  }
  if (at != text.size() || name.name.empty() || name.name.find('\0') != std::string::npos)
    no_table_name(text);
  require_short(name.schema);
  require_short(name.name);
  return name;
}

std::optional<Target> describe_target(pg::Session& session, const std::string& table,
                                      const std::string& partition) {
  const std::string name = parse_table_name(table).sql();
  for (int attempt = 1;; ++attempt) {
    try {
      auto target = describe_once(session, name, partition);
      // Replaced between two questions, it would look as if it had no keys; and within the first one, as if
      // it were not there: its name is known before its row is seen.
      const Target none;
      const Target& found = target ? *target : none;
      const auto now = session.run<sql::LoadIsStill>(name, std::int64_t{found.oid}, found.schema, found.name);
      if (now.one().same) return target;
      if (attempt == kMostDescriptions) {
        throw Error(ExitCode::refused,
                    fmt::format("{} is replaced by others again and again", printable(table)),
                    "Nothing was written. Run the load again when that has ended.");
      }
    } catch (const pg::Error& error) {
      // Or within another: functions of the catalogue find nothing of what was there when the question began.
      const bool torn = error.kind() == pg::ErrorKind::decode || is_gone(error);
      if (attempt == kMostDescriptions || session.in_transaction() || !torn) throw;
    }
    // Until this session has heard of the commit it would find the same again.
    Wakeup wakeup;
    wait_fd(-1, 0, Deadline::after(retry_pause(attempt)), session.limit().stop, wakeup);
  }
}

}  // namespace weir::load
