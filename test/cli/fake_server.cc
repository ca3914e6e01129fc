#include "fake_server.h"

#include <cstdint>
#include <string_view>
#include <vector>

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/wait.h"

namespace weir::test {
namespace {

std::string message(char type, std::string_view body) {
  const std::uint32_t length = htonl(static_cast<std::uint32_t>(body.size() + 4));
  return type + std::string(reinterpret_cast<const char*>(&length), sizeof length) + std::string(body);
}

std::string welcome(const std::map<std::string, std::string>& settings) {
  std::string bytes = message('R', std::string(4, '\0'));  // AuthenticationOk
  for (const auto& [name, value] : settings) bytes += message('S', name + '\0' + value + '\0');
  bytes += message('K', std::string("\0\0\0\1\0\0\0\2", 8));
  return bytes + message('Z', "I");
}

}  // namespace

FakeServer::FakeServer(std::map<std::string, std::string> settings)
    : settings_(std::move(settings)), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
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

std::string FakeServer::url() const {
  return "postgresql://eve:sesame@127.0.0.1:" + std::to_string(port_) +
         "/db?sslmode=disable&gssencmode=disable";
}

void FakeServer::serve(const std::stop_token& stop) {
  Wakeup wakeup;
  std::vector<UniqueFd> clients;
  while (wait_fd(listener_.get(), POLLIN, Deadline::never(), stop, wakeup) == WaitEnd::ready) {
    UniqueFd client(::accept(listener_.get(), nullptr, nullptr));
    if (!settings_.empty() &&
        wait_fd(client.get(), POLLIN, Deadline::never(), stop, wakeup) == WaitEnd::ready) {
      const std::string bytes = welcome(settings_);
      ::send(client.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    }
    clients.push_back(std::move(client));
  }
}

}  // namespace weir::test
