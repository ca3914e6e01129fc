#pragma once

#include <filesystem>
#include <stop_token>

#include "base/deadline.h"

namespace weir::embedded {

std::filesystem::path socket_file(const std::filesystem::path& folder, int port);

/// Whether a PostgreSQL server answers on the socket: it is asked about TLS, which it tells to anybody
/// without a login and without a line in its log.
bool answers(const std::filesystem::path& socket, Deadline deadline, const std::stop_token& stop);

}  // namespace weir::embedded
