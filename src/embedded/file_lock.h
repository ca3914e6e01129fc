#pragma once

#include <filesystem>
#include <stop_token>

#include "base/deadline.h"
#include "base/unique_fd.h"

namespace weir::embedded {

/// An advisory lock between processes on a file that is made if need be and never removed. It is free as soon
/// as its owner is gone, however it went; programs that we start do not inherit it.
class FileLock {
 public:
  /// The path is absolute.
  explicit FileLock(std::filesystem::path file);
  FileLock(FileLock&&) noexcept = default;
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;
  FileLock& operator=(FileLock&&) = delete;
  /// Free at once, also while a process that another thread has just forked has the file open.
  ~FileLock();

  bool try_exclusive();
  bool try_shared();
  /// Waits. `doing` completes the message of the Error that is thrown at the deadline: "gave up waiting to
  /// <doing>".
  void exclusive(const char* doing, Deadline deadline, const std::stop_token& stop);
  /// Keeps the file open.
  void release() noexcept;

 private:
  std::filesystem::path file_;
  UniqueFd fd_;
};

}  // namespace weir::embedded
