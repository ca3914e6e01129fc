#include "support/tcp_link.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <sys/socket.h>

namespace weir::test {
namespace {

/// Held in a link for each way. Little: who sends into a slow or closed way is to notice it.
constexpr std::size_t kMostHeld = std::size_t{64} * 1024;
constexpr std::array kWays{Way::to_server, Way::to_client};

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

SteadyTime may_pass_at(const Flow& flow, SteadyTime due) {
  return flow.rate == 0 ? due : std::max(due, flow.free_at);
}

}  // namespace

TcpLink::TcpLink(UniqueFd client, UniqueFd server) : client_(std::move(client)), server_(std::move(server)) {}

Deadline TcpLink::prepare(std::vector<pollfd>& fds, const std::array<Flow, 2>& flows, SteadyTime now) const {
  Deadline next = Deadline::never();
  for (const Way way : kWays) {
    const Flow& flow = flows.at(static_cast<std::size_t>(way));
    const Stream& bytes = stream(way);
    if (!bytes.ended && bytes.size < kMostHeld) fds.push_back({source(way), POLLIN, 0});
    if (bytes.held.empty()) continue;
    const SteadyTime at = may_pass_at(flow, bytes.held.front().due);
    if (at <= now) {
      fds.push_back({target(way), POLLOUT, 0});
    } else {
      next = next.sooner(Deadline(at));
    }
  }
  return next;
}

void TcpLink::serve(std::array<Flow, 2>& flows, SteadyTime now) {
  for (const Way way : kWays) {
    Flow& flow = flows.at(static_cast<std::size_t>(way));
    if (is_open()) take(way, flow, now);
    if (is_open()) pass(way, flow, now);
    if (is_open()) tell_end(way, flow);
  }
  if (is_open() && streams_[0].told && streams_[1].told) {
    client_.reset();
    server_.reset();
  }
}

void TcpLink::take(Way way, Flow& flow, SteadyTime now) {
  Stream& bytes = stream(way);
  if (bytes.ended || bytes.size >= kMostHeld) return;
  std::string buffer(kMostHeld - bytes.size, '\0');
  const ssize_t got = ::recv(source(way), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (got < 0) {
    if (!would_block()) cut();
    return;
  }
  if (got == 0) {
    bytes.ended = true;
    return;
  }
  if (std::exchange(flow.close_on_data, false)) {
    cut();
    return;
  }
  if (flow.half_closed) return;  // lost
  buffer.resize(static_cast<std::size_t>(got));
  bytes.size += buffer.size();
  bytes.held.push_back({now + flow.delay, std::move(buffer)});
}

void TcpLink::pass(Way way, Flow& flow, SteadyTime now) {
  Stream& bytes = stream(way);
  while (!bytes.held.empty() && may_pass_at(flow, bytes.held.front().due) <= now) {
    std::string& front = bytes.held.front().bytes;
    std::uint64_t size = front.size();
    if (flow.cut_after) size = std::min(size, *flow.cut_after);
    // A hundred times a second is smooth enough.
    if (flow.rate != 0) size = std::min(size, std::max<std::uint64_t>(flow.rate / 100, 1));
    const ssize_t sent = ::send(target(way), front.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
      if (!would_block()) cut();
      return;
    }
    const auto passed = static_cast<std::uint64_t>(sent);
    flow.passed += passed;
    bytes.size -= passed;
    if (flow.rate != 0) {
      const std::chrono::duration<double> span(static_cast<double>(passed) / static_cast<double>(flow.rate));
      flow.free_at = std::max(flow.free_at, now) + std::chrono::duration_cast<Duration>(span);
    }
    front.erase(0, passed);
    if (front.empty()) bytes.held.pop_front();
    if (flow.cut_after) {
      *flow.cut_after -= passed;
      if (*flow.cut_after == 0) return;
    }
  }
}

void TcpLink::tell_end(Way way, const Flow& flow) {
  Stream& bytes = stream(way);
  const bool all_passed = bytes.held.empty();
  if (bytes.told || !all_passed || !(bytes.ended || flow.half_closed)) return;
  ::shutdown(target(way), SHUT_WR);
  bytes.told = true;
}

void TcpLink::cut() noexcept {
  const linger at_once{1, 0};
  for (UniqueFd* socket : {&client_, &server_}) {
    ::setsockopt(socket->get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    socket->reset();
  }
}

}  // namespace weir::test
