#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace weir::embedded {

/// What the machine (or the container around us) has to give.
struct Machine {
  std::uint64_t memory = 0;         ///< bytes
  std::uint64_t shared_memory = 0;  ///< bytes that fit into /dev/shm
};
Machine this_machine();

/// What differs from one server to the next apart from the machine.
struct ServerNeeds {
  std::string socket_folder;
  std::string log_folder;
  int port = 5432;  ///< also a part of the unix socket's name
  bool tcp = false;
  bool durable = true;  ///< false: a crash of the machine may lose everything, kill -9 nothing. For tests
};

/// Values by name, as SHOW would print them, unquoted.
using Settings = std::map<std::string, std::string>;
Settings settings_for(const Machine& machine, const ServerNeeds& needs);

/// The text of weir.conf: the settings, then the user's own custom.conf, which so has the last word.
std::string render_settings(const Settings& settings);

/// As a string in postgresql.conf.
std::string quote_setting(std::string_view value);

}  // namespace weir::embedded
