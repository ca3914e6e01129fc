#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include <sys/types.h>

namespace weir::embedded {

/// Whose name the server may run under. Only root has a choice.
struct UserFacts {
  bool root = false;
  std::string myself;
  std::optional<std::string> wanted;      ///< WEIR_PG_USER
  bool wanted_usable = false;             ///< it exists and is not root
  std::optional<std::string> data_owner;  ///< who owns the data that is there, unless that is root
  std::optional<std::string>
      project_owner;          ///< unless that is root; nothing as well when the machine has no name for it
  bool has_postgres = false;  ///< the user that server packages make
};
/// The server's user: nothing means ourselves. Throws when there is none to be had.
std::optional<std::string> choose_user(const UserFacts& facts);

struct FolderFacts {
  std::filesystem::path in_project;
  std::filesystem::path in_system;
  std::string user;
  std::optional<std::filesystem::path>
      closed;  ///< the folder that keeps the server's user out of the project
  bool project_has_data = false;
  bool system_has_data = false;
};
struct FolderChoice {
  std::filesystem::path home;
  std::optional<std::string> notice;
};
FolderChoice choose_folder(const FolderFacts& facts);

/// The name of a project's folder in the system folder: readable, and one for each path.
std::string system_folder_name(const std::filesystem::path& project);

/// Where the socket goes: into the server's own folder if its path is short enough for a socket's address and
/// plain enough for a list in a setting, else into a short one. `uid` is the server's.
std::filesystem::path choose_socket_folder(const std::filesystem::path& home, uid_t uid);

}  // namespace weir::embedded
