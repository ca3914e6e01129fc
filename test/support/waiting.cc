#include "support/waiting.h"

#include <stdexcept>

#include <poll.h>

namespace weir::test {
namespace {

bool answer(pg::Session& session, const std::string& sql, int pid) {
  return session.execute(sql, pid)[0].get<bool>(0);
}

}  // namespace

void wait_until(const std::function<bool()>& state, const std::string& what, Duration limit) {
  const Deadline deadline = Deadline::after(limit);
  while (!state()) {
    if (deadline.expired()) throw std::runtime_error("waited in vain for " + what);
    ::poll(nullptr, 0, 2);
  }
}

void wait_past_midnight(Duration before, Duration after) {
  using namespace std::chrono;
  const auto now = system_clock::now();
  const Duration since = now - floor<days>(now);
  const Duration left = days(1) - since;
  const Duration pause = left < before ? left + after : after - since;
  if (pause > Duration::zero()) ::poll(nullptr, 0, static_cast<int>(ceil<milliseconds>(pause).count()));
}

void wait_until_active(const pg::Connector& connector, int pid) {
  pg::Session session = connector.connect(pg::Role::api, "test-look");
  wait_until(
      [&] {
        return answer(
            session, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1 AND state = 'active')", pid);
      },
      "server process " + std::to_string(pid) + " to run a statement");
}

void wait_until_blocked(const pg::Connector& connector, int pid) {
  pg::Session session = connector.connect(pg::Role::api, "test-look");
  wait_until([&] { return answer(session, "SELECT cardinality(pg_blocking_pids($1)) > 0", pid); },
             "server process " + std::to_string(pid) + " to wait for a lock");
}

void wait_until_gone(const pg::Connector& connector, int pid) {
  pg::Session session = connector.connect(pg::Role::api, "test-look");
  wait_until(
      [&] { return answer(session, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)", pid); },
      "server process " + std::to_string(pid) + " to end");
}

void terminate_backend(const pg::Connector& connector, int pid) {
  pg::Session session = connector.connect(pg::Role::api, "test-terminate");
  session.execute("SELECT pg_terminate_backend($1)", pid);
  wait_until(
      [&] { return answer(session, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)", pid); },
      "terminated server process " + std::to_string(pid) + " to end");
}

}  // namespace weir::test
