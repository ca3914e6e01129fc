#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "exec/user.h"

namespace weir::embedded {

/// Where everything of one project's server is, and who owns it.
struct Site {
  std::filesystem::path project;
  std::filesystem::path control;            ///< project/.weir: locks and marks, of the project's owner
  std::optional<exec::User> control_owner;  ///< nothing: ourselves
  std::filesystem::path home;               ///< the server's files, of the server's user alone
  std::optional<exec::User> server_user;    ///< nothing: ourselves
  std::filesystem::path socket_folder;
  std::vector<std::string> notices;  ///< what the user should be told

  [[nodiscard]] std::filesystem::path data() const { return home / "data"; }
  [[nodiscard]] std::filesystem::path logs() const { return home / "log"; }
  [[nodiscard]] std::filesystem::path password() const { return home / "password"; }
};

/// Looks, and changes nothing. `wanted_user` is WEIR_PG_USER, `system_folder` is /var/lib/weir outside of
/// tests.
Site find_site(const std::filesystem::path& project, const std::optional<std::string>& wanted_user,
               const std::filesystem::path& system_folder);

/// Makes the folder that holds the locks. Any number of processes may do it at once.
void make_control_folder(const Site& site);

/// Makes what is missing of the rest. Whoever calls holds the start lock.
void make_home(const Site& site);

}  // namespace weir::embedded
