#include "exec/user.h"

#include <cerrno>

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "base/error.h"

namespace weir::exec {

namespace {

std::vector<gid_t> groups_of(const char* name, gid_t primary) {
  int count = 16;
  std::vector<gid_t> groups(static_cast<std::size_t>(count));
  while (::getgrouplist(name, primary, groups.data(), &count) < 0)
    groups.resize(static_cast<std::size_t>(count));
  groups.resize(static_cast<std::size_t>(count));
  return groups;
}

/// `look_up` is getpwnam_r or getpwuid_r with its key bound.
template <class LookUp>
std::optional<User> user_from(LookUp look_up) {
  std::vector<char> buffer(1024);
  passwd entry{};
  passwd* found = nullptr;
  int failure = 0;
  while ((failure = look_up(&entry, buffer.data(), buffer.size(), &found)) == ERANGE)
    buffer.resize(buffer.size() * 2);
  if (found == nullptr) {
    // Several libraries report "no such user" as one of these instead of success without an entry.
    if (failure == 0 || failure == ENOENT || failure == ESRCH) return std::nullopt;
    errno = failure;
    throw_errno("looking up a user");
  }
  return User{found->pw_name, found->pw_uid, found->pw_gid, groups_of(found->pw_name, found->pw_gid),
              found->pw_dir};
}

}  // namespace

std::optional<User> find_user(const std::string& name) {
  return user_from([&](passwd* entry, char* buffer, std::size_t size, passwd** found) {
    return ::getpwnam_r(name.c_str(), entry, buffer, size, found);
  });
}

std::optional<User> find_user(uid_t uid) {
  return user_from([&](passwd* entry, char* buffer, std::size_t size, passwd** found) {
    return ::getpwuid_r(uid, entry, buffer, size, found);
  });
}

}  // namespace weir::exec
