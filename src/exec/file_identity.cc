#include "exec/file_identity.h"

#include <cstdlib>

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"

namespace weir::exec {

namespace {

// The raw calls, because the library's setgroups changes every thread of the process.
bool set_groups(const std::vector<gid_t>& groups) noexcept {
  return ::syscall(SYS_setgroups, groups.size(), groups.data()) == 0;
}

uid_t set_file_uid(uid_t uid) noexcept { return static_cast<uid_t>(::syscall(SYS_setfsuid, uid)); }
gid_t set_file_gid(gid_t gid) noexcept { return static_cast<gid_t>(::syscall(SYS_setfsgid, gid)); }

}  // namespace

FileIdentity::FileIdentity(const std::optional<User>& user) {
  if (!user || ::geteuid() != 0) return;
  const int count = ::getgroups(0, nullptr);
  if (count < 0) throw_errno("getgroups");
  groups_before_.resize(static_cast<std::size_t>(count));
  if (::getgroups(count, groups_before_.data()) < 0) throw_errno("getgroups");
  dumpable_before_ = ::prctl(PR_GET_DUMPABLE);

  if (!set_groups(user->groups)) throw_errno("setgroups");
  gid_before_ = set_file_gid(user->gid);
  uid_before_ = set_file_uid(user->uid);
  changed_ = true;
}

FileIdentity::~FileIdentity() {
  if (!changed_) return;
  set_file_uid(uid_before_);
  set_file_gid(gid_before_);
  // Going on with another user's groups would be a silent loss of rights that nobody could explain later.
  if (!set_groups(groups_before_)) std::abort();
  // A change of identity makes the process undumpable, which also takes /proc/self away from it.
  if (dumpable_before_ == 1) ::prctl(PR_SET_DUMPABLE, 1);
}

}  // namespace weir::exec
