#include "support/tcp_gate.h"

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <utility>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/error.h"

namespace weir::test {
namespace {

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

UniqueFd tcp_socket() {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) throw_errno("socket");
  return fd;
}

/// Several sockets of ours may share the port; connections go to the one that listens.
UniqueFd bound_socket(int port) {
  UniqueFd fd = tcp_socket();
  const int on = 1;
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) throw_errno("setsockopt");
  const sockaddr_in address = loopback(port);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) throw_errno("bind");
  return fd;
}

int port_of(const UniqueFd& fd) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) throw_errno("getsockname");
  return ntohs(address.sin_port);
}

void send_at_once(const UniqueFd& fd) {
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace

TcpGate::TcpGate(int target_port) : target_port_(target_port), reservation_(bound_socket(0)) {
  port_ = port_of(reservation_);
  set_door(Door::open);
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

TcpGate::~TcpGate() {
  thread_.request_stop();
  wakeup_.notify();
  thread_.join();
}

pg::Conninfo TcpGate::through(pg::Conninfo conninfo) const {
  conninfo.set("host", "127.0.0.1").set("port", std::to_string(port_));
  return conninfo;
}

void TcpGate::open() {
  command([this] {
    frozen_ = false;
    for (Flow& flow : flows_) {
      const std::uint64_t passed = flow.passed;
      flow = Flow();
      flow.passed = passed;
    }
    set_door(Door::open);
  });
}

void TcpGate::stop_accepting() {
  command([this] { set_door(Door::closed); });
}
void TcpGate::refuse() {
  command([this] { set_door(Door::refusing); });
}
void TcpGate::freeze() {
  command([this] { frozen_ = true; });
}
void TcpGate::delay(Way way, Duration span) {
  command([=, this] { flows_.at(static_cast<std::size_t>(way)).delay = span; });
}
void TcpGate::throttle(Way way, std::uint64_t bytes_per_second) {
  command([=, this] { flows_.at(static_cast<std::size_t>(way)).rate = bytes_per_second; });
}
void TcpGate::close_on_data(Way way) {
  command([=, this] { flows_.at(static_cast<std::size_t>(way)).close_on_data = true; });
}
void TcpGate::cut_after(Way way, std::uint64_t bytes) {
  command([=, this] { flows_.at(static_cast<std::size_t>(way)).cut_after = bytes; });
}
void TcpGate::freeze_after(Way way, std::uint64_t bytes) {
  command([=, this] {
    flows_.at(static_cast<std::size_t>(way)).cut_after = bytes;
    flows_.at(static_cast<std::size_t>(way)).freezes = true;
  });
}
void TcpGate::half_close(Way way) {
  command([=, this] { flows_.at(static_cast<std::size_t>(way)).half_closed = true; });
}
void TcpGate::cut_all() {
  command([this] { cut_every_link(); });
}

TcpGate::Counts TcpGate::counts() const {
  const MutexLock lock(mutex_);
  return counts_;
}

void TcpGate::wait_for(const std::function<bool(const Counts&)>& state, const std::string& what,
                       Duration limit) const {
  const Deadline deadline = Deadline::after(limit);
  MutexLock lock(mutex_);
  while (!state(counts_)) {
    if (deadline.expired()) throw std::runtime_error("the gate waited in vain for " + what);
    changed_.wait_until(lock, deadline.at());
  }
}

void TcpGate::command(std::function<void()> work) {
  MutexLock lock(mutex_);
  while (command_) changed_.wait(lock);
  command_ = std::move(work);
  wakeup_.notify();
  while (command_) changed_.wait(lock);
}

void TcpGate::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    wait_for_events();
    std::function<void()> work;
    {
      const MutexLock lock(mutex_);
      work = command_;
    }
    if (work) work();
    const SteadyTime now = std::chrono::steady_clock::now();
    if (!frozen_) {
      if (door_ == Door::open) accept_one();
      for (TcpLink& link : links_) {
        link.serve(flows_, now);
        for (Flow& flow : flows_) end_if_passed(flow);
        if (frozen_) break;
      }
    }
    links_.remove_if([](const TcpLink& link) { return !link.is_open(); });
    publish(work != nullptr);
  }
}

void TcpGate::end_if_passed(Flow& flow) {
  if (flow.cut_after != 0) return;
  flow.cut_after.reset();
  if (std::exchange(flow.freezes, false)) {
    frozen_ = true;
  } else {
    cut_every_link();
  }
}

void TcpGate::wait_for_events() {
  std::vector<pollfd> fds{{wakeup_.fd(), POLLIN, 0}};
  Deadline next = Deadline::never();
  if (!frozen_) {
    if (door_ == Door::open) fds.push_back({listener_.get(), POLLIN, 0});
    const SteadyTime now = std::chrono::steady_clock::now();
    for (const TcpLink& link : links_) next = next.sooner(link.prepare(fds, flows_, now));
  }
  if (::poll(fds.data(), fds.size(), next.poll_timeout()) < 0 && errno != EINTR) throw_errno("poll");
  if (fds.front().revents != 0) wakeup_.drain();
}

void TcpGate::set_door(Door door) {
  if (door == Door::refusing) {
    listener_.reset();
  } else if (!listener_.valid()) {
    listener_ = bound_socket(port_);
    if (::listen(listener_.get(), 128) != 0) throw_errno("listen");
  }
  door_ = door;
}

void TcpGate::accept_one() {
  UniqueFd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!client.valid()) return;
  UniqueFd server = tcp_socket();
  const sockaddr_in address = loopback(target_port_);
  const int connected = ::connect(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const bool refused = connected != 0 && errno != EINPROGRESS;
  send_at_once(client);
  send_at_once(server);
  TcpLink& link = links_.emplace_back(std::move(client), std::move(server));
  if (refused) link.cut();
  ++accepted_;
}

void TcpGate::cut_every_link() {
  for (TcpLink& link : links_) {
    if (link.is_open()) link.cut();
  }
}

void TcpGate::publish(bool command_done) {
  {
    const MutexLock lock(mutex_);
    if (command_done) command_ = nullptr;
    counts_ = {accepted_, links_.size(), flows_[0].passed, flows_[1].passed};
  }
  changed_.notify_all();
}

}  // namespace weir::test
