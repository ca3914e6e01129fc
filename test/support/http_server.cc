#include "support/http_server.h"

#include <array>
#include <charconv>
#include <stdexcept>

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/error.h"
#include "base/wait.h"

namespace weir::test {
namespace {

/// The body's length by its header; none is none.
std::size_t length_of(const std::string& head) {
  constexpr std::string_view kName = "Content-Length: ";
  const std::size_t at = head.find(kName);
  std::size_t length = 0;
  if (at != std::string::npos)
    std::from_chars(head.data() + at + kName.size(), head.data() + head.size(), length);
  return length;
}

void answer(const UniqueFd& client, int status) {
  const std::string text =
      fmt::format("HTTP/1.1 {} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status);
  ::send(client.get(), text.data(), text.size(), MSG_NOSIGNAL);
}

}  // namespace

HttpServer::HttpServer() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) throw_errno("bind");
  if (::listen(listener_.get(), 16) != 0) throw_errno("listen");
  if (::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    throw_errno("getsockname");
  port_ = ntohs(address.sin_port);
  thread_ = std::jthread([this](const std::stop_token& stop) { serve(stop); });
}

std::string HttpServer::url(const std::string& path) const {
  return fmt::format("http://127.0.0.1:{}{}", port_, path);
}

void HttpServer::answer_next(std::initializer_list<int> statuses) {
  const MutexLock lock(mutex_);
  statuses_.assign(statuses);
}

void HttpServer::fall_silent() {
  const MutexLock lock(mutex_);
  silent_ = true;
}

void HttpServer::speak_again() {
  const MutexLock lock(mutex_);
  silent_ = false;
  for (const UniqueFd& client : unanswered_) answer(client, 200);
  unanswered_.clear();
}

std::vector<HttpServer::Request> HttpServer::wait_for(std::size_t count, Duration limit) {
  const Deadline deadline = Deadline::after(limit);
  MutexLock lock(mutex_);
  while (requests_.size() < count) {
    if (deadline.expired())
      throw std::runtime_error(
          fmt::format("waited in vain for request {}; there were {}", count, requests_.size()));
    arrived_.wait_until(lock, deadline.at());
  }
  return requests_;
}

std::size_t HttpServer::count() const {
  const MutexLock lock(mutex_);
  return requests_.size();
}

void HttpServer::serve(const std::stop_token& stop) {
  Wakeup wakeup;
  while (wait_fd(listener_.get(), POLLIN, Deadline::never(), stop, wakeup) == WaitEnd::ready)
    take(UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)), stop);
}

void HttpServer::take(UniqueFd client, const std::stop_token& stop) {
  Wakeup wakeup;
  std::string text;
  std::size_t head = std::string::npos;
  while (head == std::string::npos || text.size() < head + 4 + length_of(text)) {
    if (wait_fd(client.get(), POLLIN, Deadline::never(), stop, wakeup) != WaitEnd::ready) return;
    std::array<char, 4096> room;
    const ssize_t got = ::read(client.get(), room.data(), room.size());
    if (got <= 0) return;
    text.append(room.data(), static_cast<std::size_t>(got));
    head = text.find("\r\n\r\n");
  }
  const std::size_t blank = text.find(' ');
  const std::size_t line = text.find("\r\n");
  Request request{.method = text.substr(0, blank),
                  .path = text.substr(blank + 1, text.find(' ', blank + 1) - blank - 1),
                  .head = text.substr(line + 2, head - line),
                  .body = text.substr(head + 4)};
  {
    const MutexLock lock(mutex_);
    requests_.push_back(std::move(request));
    if (silent_) {
      unanswered_.push_back(std::move(client));
    } else if (statuses_.empty()) {
      answer(client, 200);
    } else {
      answer(client, statuses_.front());
      statuses_.pop_front();
    }
  }
  arrived_.notify_all();
}

}  // namespace weir::test
