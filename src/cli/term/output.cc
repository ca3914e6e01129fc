#include "cli/term/output.h"

#include <cerrno>
#include <system_error>

#include <poll.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace weir::cli {
namespace {

/// Names in a database may be bytes of any encoding; a document must be UTF-8.
std::string dump(const nlohmann::ordered_json& document, int indent) {
  return document.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

/// The descriptor may be shared with a program that made it non-blocking.
void wait_writable(int fd) noexcept {
  pollfd entry{.fd = fd, .events = POLLOUT, .revents = 0};
  ::poll(&entry, 1, -1);
}

}  // namespace

void Output::write(std::string_view text) {
  while (!text.empty() && !reader_gone_) {
    const ssize_t wrote = ::write(fd_, text.data(), text.size());
    const int error = wrote < 0 ? errno : 0;
    switch (error) {
      case 0: text.remove_prefix(static_cast<std::size_t>(wrote)); break;
      case EINTR: break;
      case EPIPE: reader_gone_ = true; break;
      case EAGAIN: wait_writable(fd_); break;
      default:
        throw Error(ExitCode::failed,
                    "cannot write to standard output: " + std::generic_category().message(error),
                    error == ENOSPC ? "Make room where the output goes, and run the command again."
                                    : "Check where the output goes.");
    }
  }
}

void Output::line(std::string_view text) { write(std::string(text) + "\n"); }
void Output::json(const nlohmann::ordered_json& document) { write(dump(document, 2)); }
void Output::json_line(const nlohmann::ordered_json& event) { write(dump(event, -1)); }

}  // namespace weir::cli
