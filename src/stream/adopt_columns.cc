#include "stream/adopt_columns.h"

#include <algorithm>
#include <array>
#include <functional>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/text.h"
#include "pg/identifier.h"

namespace weir::stream {
namespace {

using Test = std::function<bool(const AdoptColumn&)>;

std::string quoted(const AdoptFacts& table) {
  return pg::quote_identifier(table.schema) + "." + pg::quote_identifier(table.name);
}

std::string label(const AdoptFacts& table) { return printable(table.label()); }

[[noreturn]] void refuse(const std::string& why, const std::string& remedy) {
  throw Error(ExitCode::definition, why, remedy);
}

bool is_whole_number(const AdoptColumn& column) {
  constexpr std::array<std::string_view, 3> kTypes{"bigint", "integer", "smallint"};
  return std::find(kTypes.begin(), kTypes.end(), column.type) != kTypes.end();
}
bool is_instant(const AdoptColumn& column) { return column.type == "timestamp with time zone"; }
bool is_document(const AdoptColumn& column) { return column.type == "jsonb" || column.type == "json"; }
bool numbers_rows(const AdoptColumn& column) {
  return is_whole_number(column) && column.not_null && (column.counted || column.is_unique);
}

std::vector<const AdoptColumn*> those(const AdoptFacts& table, const Test& test) {
  std::vector<const AdoptColumn*> found;
  for (const AdoptColumn& column : table.columns) {
    if (column.name != kAdoptedXid && test(column)) found.push_back(&column);
  }
  return found;
}

std::string names_of(const std::vector<const AdoptColumn*>& columns) {
  std::vector<std::string> names;
  for (const AdoptColumn* column : columns) names.push_back(printable(pg::quote_identifier(column->name)));
  return fmt::format("{}", fmt::join(names, ", "));
}

const AdoptColumn* find(const AdoptFacts& table, const std::string& name) {
  const auto found = std::find_if(table.columns.begin(), table.columns.end(),
                                  [&](const AdoptColumn& column) { return column.name == name; });
  return found == table.columns.end() ? nullptr : &*found;
}

/// "Id" is the column "Id" where there is one, else id; "\"Id\"" is "Id" alone.
const AdoptColumn& named(const AdoptFacts& table, std::string_view option, const std::string& given) {
  const AdoptColumn* column = find(table, given);
  if (column == nullptr && given.size() > 2 && given.front() == '"' && given.back() == '"') {
    std::string bare = given.substr(1, given.size() - 2);
    for (std::size_t at = 0; (at = bare.find("\"\"", at)) != std::string::npos; ++at) bare.erase(at, 1);
    column = find(table, bare);
  } else if (column == nullptr) {
    std::string folded = given;
    std::transform(folded.begin(), folded.end(), folded.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    column = find(table, folded);
  }
  if (column != nullptr && column->name != kAdoptedXid) return *column;
  refuse(fmt::format("{} has no column {} for --{}", label(table), printable(given), option),
         fmt::format("It has: {}.", names_of(those(table, [](const AdoptColumn&) { return true; }))));
}

std::string how_to_forbid_nulls(const AdoptFacts& table, const AdoptColumn& column) {
  const std::string name = pg::quote_identifier(column.name);
  return fmt::format(
      "So that readers and writers do not wait for the look at all rows: ALTER TABLE {0} ADD CONSTRAINT "
      "weir_not_null CHECK ({1} IS NOT NULL) NOT VALID; ALTER TABLE {0} VALIDATE CONSTRAINT weir_not_null; "
      "ALTER TABLE {0} ALTER COLUMN {1} SET NOT NULL, DROP CONSTRAINT weir_not_null;",
      quoted(table), name);
}

void require_not_null(const AdoptFacts& table, const AdoptColumn& column, std::string_view what) {
  if (column.not_null) return;
  refuse(fmt::format("the column {} of {} may be null, and {}", printable(column.name), label(table), what),
         how_to_forbid_nulls(table, column));
}

const AdoptColumn& id_column(const AdoptFacts& table, const AdoptRequest& request) {
  if (request.id) {
    const AdoptColumn& column = named(table, "id", *request.id);
    if (!is_whole_number(column)) {
      refuse(fmt::format("the column {} of {} is {}, and events are told apart by whole numbers",
                         printable(column.name), label(table), column.type),
             "Name a column of type bigint, integer or smallint.");
    }
    require_not_null(table, column, "every event needs its number");
    if (!column.counted && !column.is_unique) {
      refuse(fmt::format("the column {} of {} does not tell rows apart: no sequence counts it, and no unique "
                         "index has it alone",
                         printable(column.name), label(table)),
             fmt::format("Name another one, or CREATE UNIQUE INDEX CONCURRENTLY ON {} ({});", quoted(table),
                         pg::quote_identifier(column.name)));
    }
    return column;
  }
  const auto all = those(table, numbers_rows);
  const auto keys =
      those(table, [](const AdoptColumn& column) { return numbers_rows(column) && column.in_key; });
  if (keys.size() == 1) return *keys.front();
  if (all.size() == 1) return *all.front();
  if (!all.empty()) {
    refuse(fmt::format("{} has several columns that tell rows apart", label(table)),
           fmt::format("Say which: --id COLUMN, one of {}.", names_of(all)));
  }
  const auto numbers = those(table, is_whole_number);
  refuse(fmt::format(
             "{} has no column that tells rows apart: a bigint, integer or smallint, not null, counted by a "
             "sequence or unique",
             label(table)),
         numbers.empty()
             ? fmt::format("ALTER TABLE {} ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY; which writes "
                           "the table anew and shuts everybody out meanwhile.",
                           quoted(table))
             : fmt::format("Make one of these not null and unique: {}.", names_of(numbers)));
}

const AdoptColumn& at_column(const AdoptFacts& table, const AdoptRequest& request) {
  constexpr std::string_view kWhat = "every event needs a time";
  if (request.at) {
    const AdoptColumn& column = named(table, "at", *request.at);
    if (!is_instant(column)) {
      refuse(fmt::format("the column {} of {} is {}, and the time of an event is a timestamptz",
                         printable(column.name), label(table), column.type),
             "Name a column of that type: times without a zone are other instants in other sessions.");
    }
    require_not_null(table, column, kWhat);
    return column;
  }
  const auto all =
      those(table, [](const AdoptColumn& column) { return is_instant(column) && column.not_null; });
  const auto keys = those(table, [](const AdoptColumn& column) {
    return is_instant(column) && column.not_null && column.in_partition_key;
  });
  if (keys.size() == 1) return *keys.front();
  if (all.size() == 1) return *all.front();
  if (!all.empty()) {
    refuse(fmt::format("{} has several columns that could be the time of an event", label(table)),
           fmt::format("Say which: --at COLUMN, one of {}.", names_of(all)));
  }
  const auto nullable = those(table, is_instant);
  if (!nullable.empty()) require_not_null(table, *nullable.front(), kWhat);
  refuse(fmt::format("{} has no column for the time of an event: a timestamptz, not null", label(table)),
         fmt::format("ALTER TABLE {} ADD COLUMN at timestamptz NOT NULL DEFAULT now(); shuts everybody out "
                     "for a moment, and old rows get that moment for their time.",
                     quoted(table)));
}

void require_kind(const AdoptFacts& table) {
  const std::string name = label(table);
  if (table.schema == "weir" || table.schema == "pg_catalog" || table.schema == "information_schema" ||
      table.schema == "pg_toast") {
    refuse(fmt::format("{} is not a table of yours", name), "Adopt a table that your programs write to.");
  }
  switch (table.kind) {
    case 'r':
    case 'p': break;
    case 'v':
    case 'm':
      refuse(fmt::format("{} is a view: its rows are other tables'", name), "Adopt the table behind it.");
    case 'f':
      refuse(fmt::format("{} is a foreign table: its transactions are another server's", name),
             "Adopt it there, with a Weir in that database.");
    default: refuse(fmt::format("{} is no table", name), "Adopt a table.");
  }
  if (table.persistence == 't')
    refuse(fmt::format("{} is temporary: no other session sees it", name), "Adopt an ordinary table.");
  if (table.persistence == 'u') {
    refuse(fmt::format("{} is unlogged: a crash of the server empties it, and takes events away from groups",
                       name),
           fmt::format("ALTER TABLE {} SET LOGGED; writes it anew.", quoted(table)));
  }
  if (table.is_partition) {
    refuse(fmt::format("{} is a partition: what is written to the others would be missed", name),
           "Adopt the partitioned table.");
  }
  if (table.inherits || table.is_inherited) {
    refuse(fmt::format("{} {} by INHERITS: rows of several tables have no index in common", name,
                       table.inherits ? "belongs to another table" : "has other tables below it"),
           "Partition the table, or ALTER TABLE .. NO INHERIT ..;");
  }
  if (table.row_security) {
    refuse(fmt::format("{} has row-level security: events that it hides from a consumer would be lost", name),
           fmt::format("ALTER TABLE {} DISABLE ROW LEVEL SECURITY;", quoted(table)));
  }
}

void require_owner(const AdoptFacts& table) {
  const auto not_owned = [&](const std::string& name, const std::string& owner) {
    throw Error(ExitCode::database,
                fmt::format("user {} does not own {}", printable(table.user), printable(name)),
                owner.empty() ? std::string("Connect as its owner.")
                              : fmt::format("Connect as its owner, or GRANT {} TO {};",
                                            pg::quote_identifier(owner), pg::quote_identifier(table.user)));
  };
  if (!table.owned) not_owned(table.label(), table.owner);
  for (const AdoptRelation& relation : table.relations) {
    if (!relation.owned) not_owned(relation.schema + "." + relation.name, "");
    if (relation.kind == 'f') {
      refuse(fmt::format("the partition {} of {} is a foreign table: its transactions are another server's",
                         printable(relation.name), label(table)),
             "Detach it first.");
    }
  }
  if (!table.may_make) {
    throw Error(ExitCode::database, fmt::format("user {} may not make streams", printable(table.user)),
                fmt::format("GRANT weir_worker TO {0}; GRANT INSERT ON weir.stream TO {0}; GRANT EXECUTE ON "
                            "FUNCTION weir.refuse_stream_update() TO {0};",
                            pg::quote_identifier(table.user)));
  }
  for (const AdoptRelation& relation : table.relations) {
    if (relation.may_index) continue;
    throw Error(ExitCode::database,
                fmt::format("user {} may not make an index in the schema {}", printable(table.user),
                            printable(relation.schema)),
                fmt::format("GRANT CREATE ON SCHEMA {} TO {};", pg::quote_identifier(relation.schema),
                            pg::quote_identifier(table.user)));
  }
}

/// A row that is changed keeps the number of its first transaction, and no chunk would have it again.
void require_append_only(const AdoptFacts& table, const AdoptRequest& request) {
  if (request.append_only || table.update_refused) return;
  std::vector<std::string> signs = table.update_signs;
  if (table.updated > 0)
    signs.push_back(fmt::format("{} updates of its rows were counted", human_count(table.updated)));
  if (signs.empty()) return;
  throw Error(
      ExitCode::refused,
      fmt::format("{} looks as if its rows were updated ({}), and those of a stream are never", label(table),
                  printable(fmt::format("{}", fmt::join(signs, "; ")))),
      "If nobody does that any more: --append-only, and every UPDATE is refused from then on. Else weir "
      "consume works through a table that stays as it is, and with a trigger you can write its changes into "
      "a stream.");
}

void require_own_xid(const AdoptFacts& table) {
  const AdoptColumn* xid = find(table, kAdoptedXid);
  if (xid == nullptr) return;
  if (xid->type == "xid8" && xid->not_null && xid->default_text == "pg_current_xact_id()" &&
      table.xid_checked)
    return;  // of an adoption that was begun
  refuse(fmt::format("{} has a column {} that no adoption made", label(table), kAdoptedXid),
         fmt::format("Give it another name, or ALTER TABLE {} DROP COLUMN {};", quoted(table), kAdoptedXid));
}

}  // namespace

void require_adoptable(const AdoptFacts& table, const AdoptRequest& request) {
  require_kind(table);
  if (!table.stream.empty()) {
    throw Error(ExitCode::refused,
                fmt::format("{} is the stream {} already", label(table), printable(table.stream)),
                fmt::format("weir stream show {} tells about it.", printable(table.stream)));
  }
  if (table.name_taken) {
    throw Error(ExitCode::refused,
                fmt::format("there is another stream of the name {}", printable(request.table)),
                fmt::format("Write the table with its schema: {}.", label(table)));
  }
  require_owner(table);
  require_own_xid(table);
  require_append_only(table, request);
}

StreamColumns adopted_columns(const AdoptFacts& table, const AdoptRequest& request) {
  StreamColumns columns;
  columns.xid = kAdoptedXid;
  columns.id = id_column(table, request).name;
  columns.at = at_column(table, request).name;
  columns.key = std::nullopt;
  columns.payload = std::nullopt;
  if (request.key) columns.key = named(table, "key", *request.key).name;
  if (request.payload) {
    const AdoptColumn& column = named(table, "payload", *request.payload);
    if (!is_document(column)) {
      refuse(fmt::format("the column {} of {} is {}, and what handlers are given is jsonb",
                         printable(column.name), label(table), column.type),
             "Leave --payload out: they are given the whole row.");
    }
    columns.payload = column.name;
  }
  return columns;
}

}  // namespace weir::stream
