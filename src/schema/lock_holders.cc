#include "schema/lock_holders.h"

#include <fmt/format.h>

#include "base/text.h"
#include "schema/queries/migrations.h"

namespace weir::schema {
namespace {

constexpr std::size_t kQueryWidth = 60;

template <class Row>
LockHolder describe(const Row& row) {
  std::string text = fmt::format("pid {} ({}", row.pid, printable(row.application_name.value_or("unnamed")));
  if (row.user_name) text += fmt::format(", user {}", printable(*row.user_name));
  text += ')';
  if (row.state) text += fmt::format(", {}", *row.state);
  if (row.age_seconds) {
    const std::chrono::duration<double> age(*row.age_seconds);
    text += fmt::format(" for {}", human_duration(std::chrono::duration_cast<Duration>(age)));
  }
  if (row.query && !row.query->empty())
    text += fmt::format(": {}", elide(printable(*row.query), kQueryWidth));
  return {row.pid, std::move(text)};
}

template <class NamedQuery>
std::vector<LockHolder> describe_all(const pg::Rows<NamedQuery>& rows) {
  std::vector<LockHolder> holders;
  for (const auto row : rows) holders.push_back(describe(row));
  return holders;
}

}  // namespace

std::vector<LockHolder> find_migrators(pg::Session& session, std::int64_t key) {
  return describe_all(session.run<sql::MigrationLockHolders>(key));
}

std::vector<LockHolder> find_schema_lock_holders(pg::Session& session) {
  return describe_all(session.run<sql::SchemaLockHolders>());
}

}  // namespace weir::schema
