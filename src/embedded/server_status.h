#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "embedded/private_server.h"

namespace weir::embedded {

/// The mark that a server goes on without users.
std::filesystem::path kept_mark(const Site& site);
bool is_kept(const Site& site);

/// `postgresql://weir@/weir?host=..&port=..`: what every libpq client takes.
std::string socket_url(const std::filesystem::path& socket_folder, int port);

/// The same over TCP, to a server whose listen_addresses begins with `address`.
std::string tcp_url(std::string_view password, std::string_view address, int port);

/// The state of the site as its files and processes are now. The calling thread has the rights of the
/// server's user.
ServerStatus read_status(const Site& site);

}  // namespace weir::embedded
