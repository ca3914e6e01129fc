#include "group/poll_connection.h"

#include <exception>
#include <utility>

#include "base/log.h"
#include "schema/queries/groups.h"

namespace weir::group {
namespace {

/// What one look takes in at the most: so many tenants, and of each so many groups. Behind many that cannot
/// be taken there may be one that can, so the next look goes on from there, in longer steps.
constexpr std::int32_t kTenants = 256;
constexpr std::int32_t kDepth = 5000;
constexpr std::int32_t kLongDepth = 20'000;

/// All that is notified here is that somebody may look.
bool was_told(pg::Session& session) {
  bool told = false;
  while (session.next_notification()) told = true;
  return told;
}

}  // namespace

PollConnection PollConnection::open(const pg::Connector& connector, std::string_view id,
                                    const pg::Limit& limit) {
  auto session = pg::PinnedSession::open(connector, pg::Role::poll, id, limit);
  session.use([&](pg::Session& on) { on.set_stop(limit.stop); });
  return PollConnection(std::move(session));
}

std::vector<GroupKey> PollConnection::candidates(const SinkDefinition& sink, std::size_t wanted) {
  std::vector<GroupKey> groups;
  saw_all_ = true;
  // On to the last tenant, and once more from the first one, until there is something.
  for (int ends = last_tenant_.empty() ? 1 : 0; groups.empty() && ends < 2;
       ends += last_tenant_.empty() ? 1 : 0) {
    groups = look(sink, wanted);
  }
  return groups;
}

std::vector<GroupKey> PollConnection::look(const SinkDefinition& sink, std::size_t wanted) {
  return session_.use([&](pg::Session& session) {
    std::vector<std::string_view> tenants;
    std::vector<std::string_view> keys;
    for (const auto& [tenant, key] : last_keys_) {
      tenants.push_back(tenant);
      keys.push_back(key);
    }
    std::vector<GroupKey> groups;
    const auto rows = session.run<sql::ReadyGroups>(sink.id, last_tenant_, static_cast<std::int32_t>(wanted),
                                                    kTenants, cut_ ? kLongDepth : kDepth, tenants, keys);
    cut_ = false;
    if (last_keys_.size() > static_cast<std::size_t>(kTenants)) last_keys_.clear();
    for (const auto& row : rows) {
      if (!row.tenant) {
        last_tenant_ = row.last_tenant ? std::string(*row.last_tenant) : std::string();
      } else if (row.seen) {
        cut_ = true;
        saw_all_ = false;
        last_keys_[std::string(*row.tenant)] = *row.seen;
      } else {
        groups.push_back({std::string(*row.tenant), std::string(*row.key)});
        last_keys_[groups.back().tenant] = groups.back().key;
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

void PollConnection::lie_down(const SinkDefinition& sink) {
  try {
    session_.use([&](pg::Session& session) {
      if (!listens_) {
        session.run<sql::ListenAtSink>(sink.id);
        session.execute("LISTEN weir_group_" + std::to_string(sink.id));
      }
      listens_ = true;
      was_told(session);  // of what the next look sees
      session.run<sql::SleepAtSink>(sink.id);
      undecided_.begin(session);
    });
  } catch (...) {
    session_.close();  // with the lock, if it is there
    throw;
  }
  lies_at_ = sink.id;
}

bool PollConnection::decided() {
  return session_.use([&](pg::Session& session) { return undecided_.decided(session); });
}

bool PollConnection::wait(Deadline deadline, const std::stop_token& stop, Wakeup& other) {
  return session_.use([&](pg::Session& session) {
    // What came with the answer to a statement of ours has left the socket, which will not tell of it again.
    if (was_told(session)) return true;
    session.wait_readable({.deadline = deadline, .stop = stop}, other);
    return was_told(session);
  });
}

void PollConnection::get_up() noexcept {
  const auto sink = std::exchange(lies_at_, std::nullopt);
  if (!sink || !session_.is_open()) return;
  try {
    session_.use([&](pg::Session& session) { session.run<sql::RiseAtSink>(*sink); });
  } catch (const std::exception& error) {
    log::debug("the poll connection is made anew", {{"error", error.what()}});
    session_.close();
  }
}

}  // namespace weir::group
