#pragma once

#include <array>
#include <string>
#include <string_view>

namespace weir::pg {

/// What a session is for. Each has its own line in the connection budget and shows in application_name.
enum class Role { poll, recovery, group, listen, load, task, api };

inline constexpr std::array kRoles{Role::poll, Role::recovery, Role::group, Role::listen,
                                   Role::load, Role::task,     Role::api};

constexpr std::string_view to_string(Role role) noexcept {
  switch (role) {
    case Role::poll: return "poll";
    case Role::recovery: return "recovery";
    case Role::group: return "group";
    case Role::listen: return "listen";
    case Role::load: return "load";
    case Role::task: return "task";
    case Role::api: return "api";
  }
  return "unknown";
}

/// `weir:<role>:<id>`, cut to the 63 bytes that PostgreSQL keeps.
std::string application_name(Role role, std::string_view id);

}  // namespace weir::pg
