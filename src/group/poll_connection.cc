#include "group/poll_connection.h"

#include <limits>

#include "schema/queries/groups.h"

namespace weir::group {
namespace {

/// What one look takes in at the most: so many tenants, and of each so many groups that cannot be taken.
constexpr std::int32_t kTenants = 256;
constexpr std::int32_t kDepth = 5000;
/// Now and then one look takes in all of a tenant's: behind many that wait there may be one that does not.
constexpr Duration kDeepEvery = std::chrono::seconds(5);

}  // namespace

PollConnection PollConnection::open(const pg::Connector& connector, std::string_view id,
                                    const pg::Limit& limit) {
  return PollConnection(pg::PinnedSession::open(connector, pg::Role::poll, id, limit));
}

std::vector<GroupKey> PollConnection::candidates(const SinkDefinition& sink, std::size_t wanted) {
  const SteadyTime now = std::chrono::steady_clock::now();
  const bool deep = now >= deep_at_;
  if (deep) deep_at_ = now + kDeepEvery;
  const std::int32_t depth = deep ? std::numeric_limits<std::int32_t>::max() : kDepth;
  std::vector<GroupKey> groups;
  // On to the last tenant, and once more from the first one, until there is something.
  for (int ends = last_tenant_.empty() ? 1 : 0; groups.empty() && ends < 2;
       ends += last_tenant_.empty() ? 1 : 0) {
    groups = look(sink, wanted, depth);
  }
  return groups;
}

std::vector<GroupKey> PollConnection::look(const SinkDefinition& sink, std::size_t wanted,
                                           std::int32_t depth) {
  return session_.use([&](pg::Session& session) {
    std::vector<std::string_view> tenants;
    std::vector<std::string_view> keys;
    for (const auto& [tenant, key] : last_keys_) {
      tenants.push_back(tenant);
      keys.push_back(key);
    }
    std::vector<GroupKey> groups;
    const auto rows = session.run<sql::GroupCandidates>(
        sink.id, last_tenant_, static_cast<std::int32_t>(wanted), kTenants, depth, tenants, keys);
    if (last_keys_.size() > static_cast<std::size_t>(kTenants)) last_keys_.clear();
    for (const auto& row : rows) {
      if (row.tenant) {
        groups.push_back({std::string(*row.tenant), std::string(*row.key)});
        last_keys_[groups.back().tenant] = groups.back().key;
      } else {
        last_tenant_ = row.last_tenant ? std::string(*row.last_tenant) : std::string();
      }
    }
    return groups;
  });
}

bool PollConnection::work_left(const SinkDefinition& sink) {
  return session_.use([&](pg::Session& session) {
    const auto rows = session.run<sql::GroupWorkLeft>(sink.id);
    return rows.one().left;
  });
}

}  // namespace weir::group
