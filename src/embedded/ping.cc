#include "embedded/ping.h"

#include <array>
#include <cstring>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <fmt/format.h>

#include "base/wait.h"

namespace weir::embedded {

std::filesystem::path socket_file(const std::filesystem::path& folder, int port) {
  return folder / fmt::format(".s.PGSQL.{}", port);
}

bool answers(const std::filesystem::path& socket, Deadline deadline, const std::stop_token& stop) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& path = socket.native();
  if (path.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, path.c_str(), path.size());

  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return false;
  // A unix socket connects at once or not at all: EAGAIN means that the server has stopped taking
  // connections.
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return false;
  // SSLRequest: the length 8, then 1234 and 5679, all in network byte order.
  constexpr std::array<unsigned char, 8> kRequest{0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x2F};
  if (::send(fd.get(), kRequest.data(), kRequest.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(kRequest.size())) {
    return false;
  }
  Wakeup wakeup;
  if (wait_fd(fd.get(), POLLIN, deadline, stop, wakeup) != WaitEnd::ready) return false;
  char answer = 0;
  return ::recv(fd.get(), &answer, 1, 0) == 1;
}

}  // namespace weir::embedded
