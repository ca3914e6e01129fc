#include "exec/file_identity.h"

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <system_error>

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/error.h"

namespace weir::exec {

namespace {

// The raw calls, because the library's setgroups changes every thread of the process.
bool set_groups(const std::vector<gid_t>& groups) noexcept {
  return ::syscall(SYS_setgroups, groups.size(), groups.data()) == 0;
}

uid_t set_file_uid(uid_t uid) noexcept { return static_cast<uid_t>(::syscall(SYS_setfsuid, uid)); }
gid_t set_file_gid(gid_t gid) noexcept { return static_cast<gid_t>(::syscall(SYS_setfsgid, gid)); }

constexpr std::uint32_t kNobodys = UINT32_MAX;

/// Before the first change by any thread: a thread that asked while another one has its identity changed
/// would learn that other's state and keep it.
bool was_dumpable() noexcept {
  static const bool before = ::prctl(PR_GET_DUMPABLE) == 1;
  return before;
}

[[noreturn]] void throw_refused(const User& user) {
  throw Error(
      ExitCode::failed,
      fmt::format("cannot act on files as user {}: {}", user.name, std::generic_category().message(errno)),
      "Root may not change users here, as in some containers: run as that user, or set DATABASE_URL to a "
      "server of your own.");
}

}  // namespace

FileIdentity::FileIdentity(const std::optional<User>& user) {
  if (!user || ::geteuid() != 0) return;
  const int count = ::getgroups(0, nullptr);
  if (count < 0) throw_errno("getgroups");
  groups_before_.resize(static_cast<std::size_t>(count));
  if (::getgroups(count, groups_before_.data()) < 0) throw_errno("getgroups");
  was_dumpable();

  if (!set_groups(user->groups)) throw_refused(*user);
  gid_before_ = set_file_gid(user->gid);
  uid_before_ = set_file_uid(user->uid);
  changed_ = true;
  // They report no failure, such as of a user whom the container does not map. A value that is nobody's
  // changes nothing and shows what holds now.
  if (set_file_gid(kNobodys) == user->gid && set_file_uid(kNobodys) == user->uid) return;
  restore();
  errno = EINVAL;
  throw_refused(*user);
}

FileIdentity::~FileIdentity() {
  if (changed_) restore();
}

void FileIdentity::restore() noexcept {
  set_file_uid(uid_before_);
  set_file_gid(gid_before_);
  // Going on with another user's groups would be a silent loss of rights that nobody could explain later.
  if (!set_groups(groups_before_)) std::abort();
  // A change of identity makes the process undumpable, which also takes /proc/self away from it.
  if (was_dumpable()) ::prctl(PR_SET_DUMPABLE, 1);
}

}  // namespace weir::exec
