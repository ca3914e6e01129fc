#include "stream/sql_check.h"

#include <fmt/format.h>

#include "pg/error.h"
#include "pg/transaction.h"
#include "stream/stream_sql.h"
#include "work/user_script.h"

namespace weir::stream {
namespace {

std::string columns_text(const StreamColumns& columns) {
  std::string text = fmt::format("{}, {}, {}", columns.xid, columns.id, columns.at);
  if (columns.key) text += ", " + *columns.key;
  if (columns.payload) text += ", " + *columns.payload;
  return text;
}

}  // namespace

void check_chunk_sql(pg::Session& session, const StreamDefinition& stream, const std::string& sql,
                     const std::string& search_path) {
  const StreamSql of(stream);
  pg::Transaction transaction(session);
  session.execute("DROP VIEW IF EXISTS pg_temp.weir_chunk");  // a pooler's session may have somebody's
  session.execute("CREATE TEMPORARY VIEW weir_chunk AS SELECT e.* FROM " + of.table() + " e WHERE false");
  const std::string script = work::user_script(sql, search_path);
  try {
    session.execute_script(script);
  } catch (const pg::Error& error) {
    work::refuse_broken_script(
        session, sql, error,
        fmt::format("A chunk's events are the rows of weir_chunk ({}); other names are those that your psql "
                    "finds, and COMMIT has no place in it.",
                    columns_text(stream.columns)));
  }
}

}  // namespace weir::stream
