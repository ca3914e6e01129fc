#pragma once

#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace weir::exec {

/// Somebody the machine knows, with all groups that decide what they may open.
struct User {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  ///< supplementary ones, `gid` among them
  std::string home;
};

/// From the machine's user database; nothing when it does not know the user.
std::optional<User> find_user(const std::string& name);
std::optional<User> find_user(uid_t uid);

}  // namespace weir::exec
