#include "work/user_script.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "base/text.h"
#include "pg/identifier.h"
#include "pg/session.h"
#include "work/transaction_parts.h"

namespace weir::work {
namespace {

/// "line 2, column 8: ", where the server told a place in the user's text; else nothing.
std::string place_in(std::string_view sql, const pg::ErrorInfo& info) {
  // Within a function that the text calls, it would be a place in that.
  if (!info.context.starts_with("PL/pgSQL function inline_code_block")) return "";
  std::size_t position = 0;
  std::from_chars(info.position.data(), info.position.data() + info.position.size(), position);
  if (position == 0) return "";
  std::size_t line = 1, column = 1;
  std::size_t at = 0;
  for (std::size_t count = 1; count < position && at < sql.size(); ++count) {
    const bool ends = sql[at] == '\n';
    at += std::max<std::size_t>(1, utf8_length(sql.substr(at)));
    line += ends ? 1 : 0;
    column = ends ? 1 : column + 1;
  }
  return fmt::format("line {}, column {}: ", line, column);
}

}  // namespace

std::string user_script(std::string_view sql, std::string_view search_path) {
  const std::string execute = fmt::format("EXECUTE {};", pg::quote_literal(sql));
  // What is written of the outcome is written by us: a role that the script takes on ends with it.
  std::string before;
  std::string after = " PERFORM pg_catalog.set_config('role', weir_role, false);";
  if (!search_path.empty()) {
    before = fmt::format(" PERFORM pg_catalog.set_config('search_path', {}, true);",
                         pg::quote_literal(search_path));
    after += " PERFORM pg_catalog.set_config('search_path', weir_path, true);";
  }
  const std::string body = fmt::format(
      "DECLARE weir_role text := pg_catalog.current_setting('role');"
      " weir_path text := pg_catalog.current_setting('search_path'); BEGIN{} {}{} END",
      before, execute, after);
  std::string script = "DO LANGUAGE plpgsql " + pg::quote_literal(body);
  pg::checked_sql(script);
  return script;
}

std::string bounded_script(std::string script, std::optional<Duration> timeout) {
  if (!timeout) return script;
  // The server counts each statement of a script by itself.
  return fmt::format("{}; {}; {}", set_statement_timeout(timeout), script,
                     set_statement_timeout(std::nullopt));
}

std::string set_statement_timeout(std::optional<Duration> timeout) {
  if (!timeout) return "SET LOCAL statement_timeout TO DEFAULT";
  return fmt::format("SET LOCAL statement_timeout = {}",
                     std::chrono::ceil<std::chrono::milliseconds>(*timeout).count());
}

void refuse_broken_script(const pg::Session& session, std::string_view sql, const pg::Error& error,
                          std::string_view remedy) {
  // Nothing of an aggregate's value, say: with something to work on there will be one.
  if (blames_an_item(session, error)) return;
  if (!session.is_open() || error.kind() != pg::ErrorKind::server || error.sqlstate() == "42501") throw error;
  throw Error(ExitCode::definition,
              fmt::format("the SQL does not work: {}{}", place_in(sql, error.info()), error.info().message),
              error.info().hint.empty() ? std::string(remedy) : error.info().hint);
}

}  // namespace weir::work
