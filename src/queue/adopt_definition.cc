#include "queue/adopt_definition.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/text.h"
#include "pg/identifier.h"

namespace weir::queue {
namespace {

constexpr std::array<std::string_view, 3> kTimes{"timestamp with time zone", "timestamp without time zone",
                                                 "date"};

bool is_time(const AdoptColumn& column) {
  return std::find(kTimes.begin(), kTimes.end(), column.base_type) != kTimes.end();
}

[[noreturn]] void refuse(const std::string& message, std::string remedy) {
  throw Error(ExitCode::definition, message, std::move(remedy));
}

std::string lower(std::string_view text) {
  std::string out(text);
  // As SQL folds identifiers: ASCII alone.
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

std::string unquote(std::string_view text) {
  std::string out;
  for (std::size_t i = 1; i + 1 < text.size(); ++i) {
    out += text[i];
    if (text[i] == '"' && text[i + 1] == '"') ++i;
  }
  return out;
}

class Adopter {
 public:
  Adopter(const AdoptRequest& request, const AdoptFacts& facts) : request_(request), facts_(facts) {}

  Adopted run() {
    check_table();
    adopted_.table_id = facts_.id;
    adopted_.schema = facts_.schema;
    adopted_.table = facts_.name;
    adopted_.partitioned = facts_.kind == 'p';
    adopted_.estimated_rows = facts_.estimated_rows;
    adopted_.where = trim(request_.where);
    take_order();
    take_done();
    take_assignments();
    take_failed();
    for (const std::string& name : request_.columns) adopted_.columns.push_back(find(name, "columns").name);
    take_key();
    check_rights();
    return std::move(adopted_);
  }

 private:
  [[nodiscard]] std::string label() const { return facts_.schema + "." + facts_.name; }

  void check_table() const {
    const char kind = facts_.kind;
    if (kind == 'v' || kind == 'm') {
      refuse(fmt::format("{} is a {}view, whose rows cannot be marked as done", label(),
                         kind == 'm' ? "materialized " : ""),
             "Name the table behind it, with --where for its condition.");
    }
    if (kind == 'f') {
      refuse(fmt::format("{} is a foreign table, whose rows cannot be locked here", label()),
             "Consume it on the server that holds it.");
    }
    if (kind != 'r' && kind != 'p') refuse(fmt::format("{} is no table", label()), "Name a table.");
    if (facts_.row_security) {
      refuse(fmt::format("row-level security hides rows of {} from user {}, which would never be done",
                         label(), facts_.user),
             fmt::format("Connect as the owner, or as an administrator: ALTER ROLE {} BYPASSRLS;",
                         pg::quote_identifier(facts_.user)));
    }
  }

  const AdoptColumn& find(std::string_view written, std::string_view option) const {
    written = trim(written);
    const bool quoted = written.size() > 2 && written.front() == '"' && written.back() == '"';
    const std::string exact = quoted ? unquote(written) : std::string(written);
    const auto named = [&](const std::string& name) {
      return std::find_if(facts_.columns.begin(), facts_.columns.end(),
                          [&](const AdoptColumn& column) { return column.name == name; });
    };
    auto found = named(exact);
    if (found == facts_.columns.end() && !quoted) found = named(lower(exact));
    if (found != facts_.columns.end()) return *found;
    std::vector<std::string> known;
    known.reserve(facts_.columns.size());
    for (const AdoptColumn& column : facts_.columns) known.push_back(column.name);
    refuse(fmt::format("{} has no column '{}' (--{})", label(), printable(exact), option),
           did_you_mean(exact, known) + fmt::format("It has: {}", fmt::join(known, ", ")));
  }

  void take_order() {
    if (request_.order_by.empty())
      throw Error(ExitCode::usage, "--order-by is missing",
                  "Say which column tells the order, such as: --order-by created_at");
    for (const std::string& written : request_.order_by) {
      std::string_view name = trim(written);
      Adopted::Order order;
      const std::string folded = lower(name);
      if (folded.ends_with(" desc")) {
        order.descending = true;
        name.remove_suffix(5);
      } else if (folded.ends_with(" asc")) {
        name.remove_suffix(4);
      }
      order.column = find(name, "order-by");
      adopted_.order.push_back(std::move(order));
    }
  }

  void take_done() {
    if (trim(request_.done).empty())
      throw Error(ExitCode::usage, "--done is missing",
                  "Say which column tells that a row is done, such as: --done processed");
    const AdoptColumn& done = find(request_.done, "done");
    adopted_.done = done;
    if (done.generated)
      refuse(fmt::format("column {} of {} is generated and cannot be set (--done)", done.name, label()),
             "Name a plain column.");
    if (request_.done_value) {
      adopted_.done_kind = Adopted::Done::value;
      adopted_.done_value = *request_.done_value;
      return;
    }
    if (done.base_type == "boolean") {
      adopted_.done_kind = Adopted::Done::flag;
      if (!done.not_null)
        adopted_.notes.push_back(
            fmt::format("rows in which {} is null are neither done nor taken", done.name));
      return;
    }
    if (!is_time(done)) {
      refuse(fmt::format("column {} of {} is {}: how is a done row told from the others? (--done)", done.name,
                         label(), done.type),
             "Name a boolean column, a date or time that is null until the row is done, or add --done-value "
             "VALUE.");
    }
    if (done.not_null)
      refuse(fmt::format("column {} of {} is never null, so every row of it would be done (--done)",
                         done.name, label()),
             fmt::format("ALTER TABLE {} ALTER {} DROP NOT NULL; or name another column.",
                         pg::quote_identifier(facts_.schema) + "." + pg::quote_identifier(facts_.name),
                         pg::quote_identifier(done.name)));
    adopted_.done_kind = Adopted::Done::stamp;
  }

  void take_assignments() {
    for (const std::string& written : request_.set) {
      const std::size_t equals = written.find('=');
      if (equals == std::string::npos || trim(written.substr(equals + 1)).empty())
        throw Error(ExitCode::usage, fmt::format("--set '{}' is not COLUMN=EXPRESSION", printable(written)),
                    "Such as: --set processed_at=now()");
      const AdoptColumn& column = find(std::string_view(written).substr(0, equals), "set");
      if (column.generated)
        refuse(fmt::format("column {} of {} is generated and cannot be set (--set)", column.name, label()),
               "Leave it out.");
      const bool twice = column.name == adopted_.done.name ||
                         std::any_of(adopted_.set.begin(), adopted_.set.end(),
                                     [&](const auto& before) { return before.column == column.name; });
      if (twice)
        throw Error(ExitCode::usage, fmt::format("column {} would be set twice (--set)", column.name),
                    column.name == adopted_.done.name ? "--done sets it already: see --done-value." : "");
      adopted_.set.push_back({column.name, std::string(trim(std::string_view(written).substr(equals + 1)))});
    }
  }

  void take_failed() {
    if (request_.failed.empty()) return;
    const AdoptColumn& column = find(request_.failed, "failed");
    const bool is_text = column.base_type == "text" || column.base_type == "character varying";
    if (!is_text || column.not_null || column.generated || column.name == adopted_.done.name)
      refuse(fmt::format("column {} of {} cannot take errors (--failed): it has to be a text column of its "
                         "own that may be null, and is {}{}",
                         column.name, label(), column.type, column.not_null ? " not null" : ""),
             fmt::format("ALTER TABLE {} ADD COLUMN weir_error text; then --failed weir_error",
                         pg::quote_identifier(facts_.schema) + "." + pg::quote_identifier(facts_.name)));
    adopted_.failed = column.name;
  }

  void take_key() {
    for (const AdoptColumn& column : facts_.columns) {
      if (column.key_position > 0) adopted_.key.push_back(column);
    }
    std::sort(adopted_.key.begin(), adopted_.key.end(),
              [](const auto& a, const auto& b) { return a.key_position < b.key_position; });
    if (adopted_.key.empty())
      adopted_.notes.push_back(
          fmt::format("{} has no primary key: rows are known by their place (ctid), so a handler must not "
                      "update them",
                      label()));
  }

  void check_rights() const {
    const std::string target = pg::quote_identifier(facts_.schema) + "." + pg::quote_identifier(facts_.name);
    const std::string user = pg::quote_identifier(facts_.user);
    if (!facts_.may_select)
      throw Error(ExitCode::database, fmt::format("user {} may not read {}", facts_.user, label()),
                  fmt::format("As its owner: GRANT SELECT ON {} TO {};", target, user));
    std::vector<std::string> set{adopted_.done.name};
    for (const auto& assignment : adopted_.set) set.push_back(assignment.column);
    if (!adopted_.failed.empty()) set.push_back(adopted_.failed);
    std::vector<std::string> missing;
    for (const AdoptColumn& column : facts_.columns) {
      const bool wanted = std::find(set.begin(), set.end(), column.name) != set.end();
      if (wanted && !column.may_update) missing.push_back(pg::quote_identifier(column.name));
    }
    if (missing.empty()) return;
    throw Error(
        ExitCode::database,
        fmt::format("user {} may not update {} of {}", facts_.user, fmt::join(missing, ", "), label()),
        fmt::format("As its owner: GRANT UPDATE ({}) ON {} TO {};", fmt::join(missing, ", "), target, user));
  }

  const AdoptRequest& request_;
  const AdoptFacts& facts_;
  Adopted adopted_;
};

}  // namespace

Adopted adopt(const AdoptRequest& request, const AdoptFacts& facts) { return Adopter(request, facts).run(); }

std::string did_you_mean(std::string_view word, const std::vector<std::string>& known) {
  const std::vector<std::string_view> candidates(known.begin(), known.end());
  const auto near = closest(word, candidates);
  return near ? fmt::format("Did you mean '{}'? ", *near) : std::string();
}

}  // namespace weir::queue
