#pragma once

#include <optional>
#include <vector>

#include "exec/user.h"

namespace weir::exec {

/// While it lives, the calling thread opens, makes and removes files with the rights of `user` and as their
/// owner: root that works in another person's folder follows no symbolic link further than that person could,
/// and learns what they may enter by trying. Other threads keep their own rights. Does nothing unless the
/// process is root.
class FileIdentity {
 public:
  explicit FileIdentity(const std::optional<User>& user);
  ~FileIdentity();
  FileIdentity(const FileIdentity&) = delete;
  FileIdentity& operator=(const FileIdentity&) = delete;

 private:
  void restore() noexcept;

  bool changed_ = false;
  uid_t uid_before_ = 0;
  gid_t gid_before_ = 0;
  std::vector<gid_t> groups_before_;
};

}  // namespace weir::exec
