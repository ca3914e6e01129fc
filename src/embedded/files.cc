#include "embedded/files.h"

#include <array>
#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/text.h"
#include "base/unique_fd.h"
#include "exec/file_identity.h"

namespace weir::embedded {

namespace fs = std::filesystem;

namespace {

const char* remedy_for(int error_number) {
  switch (error_number) {
    case ENOSPC:
    case EDQUOT: return "Make room on that disk, then start again.";
    case EACCES:
    case EPERM: return "Run as the owner of the project folder, or set DATABASE_URL to a server of your own.";
    case EROFS:
      return "Use a project folder on a writable disk, or set DATABASE_URL to a server of your own.";
    case EMFILE:
    case ENFILE: return "Raise the limit on open files (ulimit -n), then try again.";
    case ENAMETOOLONG: return "Use a project folder with a shorter path.";
    case ENOENT: return "Check that the folder exists and is spelled so.";
    case ENOTDIR:
    case EISDIR:
    case EEXIST:
    case ELOOP: return "Something else, or a link, has a name on that path: move it away, then start again.";
    default: return "Check that path and its disk, then start again.";
  }
}

void write_all(int fd, std::string_view text, const fs::path& file) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw_file_error("write", file, errno);
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace

void throw_file_error(const char* what, const fs::path& path, int error_number, ExitCode code) {
  throw Error(code,
              fmt::format("cannot {} {}: {}", what, printable(path.string()),
                          std::generic_category().message(error_number)),
              remedy_for(error_number));
}

void make_private_folder(const fs::path& folder, const std::optional<exec::User>& maker,
                         const std::optional<exec::User>& owner) {
  const uid_t wanted = owner ? owner->uid : ::geteuid();
  const uid_t making = maker ? maker->uid : ::geteuid();
  // With O_PATH, because the maker may be unable to look into what is the owner's by now.
  const UniqueFd place = [&] {
    const exec::FileIdentity as_maker(maker);
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) throw_file_error("make folder", folder, errno);
    UniqueFd made(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!made.valid()) throw_file_error("open folder", folder, errno);
    return made;
  }();
  struct stat info {};
  if (::fstat(place.get(), &info) != 0) throw_file_error("look at folder", folder, errno);
  // The maker's is not yet handed over: just made, or by a process of ours that was killed in between.
  if (info.st_uid != wanted && info.st_uid != making) {
    throw Error(ExitCode::refused,
                fmt::format("folder {} belongs to user {} instead of user {}", printable(folder.string()),
                            info.st_uid, wanted),
                "Find out who made it; move it away if it is not needed, then start again.");
  }
  if (info.st_uid == wanted && (info.st_mode & 07777) == 0700) return;
  const UniqueFd fd(::openat(place.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) throw_file_error("open folder", folder, errno);
  if (info.st_uid != wanted && ::fchown(fd.get(), wanted, owner ? owner->gid : ::getegid()) != 0)
    throw_file_error("change the owner of", folder, errno);
  if (::fchmod(fd.get(), 0700) != 0) throw_file_error("protect", folder, errno);
}

std::optional<std::string> read_small_file(const fs::path& file) {
  constexpr std::size_t kMost = 1024 * 1024;
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd.valid() && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  if (!fd.valid()) throw_file_error("open", file, errno);
  std::string text;
  std::array<char, 16 * 1024> buffer;
  for (;;) {
    const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_file_error("read", file, errno);
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
    if (text.size() > kMost) throw_file_error("read", file, EFBIG);
  }
}

void write_file(const fs::path& file, std::string_view text, bool durable) {
  fs::path fresh = file;
  fresh += ".new";
  ::unlink(fresh.c_str());
  try {
    const UniqueFd fd(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!fd.valid()) throw_file_error("write", file, errno);
    write_all(fd.get(), text, file);
    if (durable && ::fsync(fd.get()) != 0) throw_file_error("write", file, errno);
    if (::rename(fresh.c_str(), file.c_str()) != 0) throw_file_error("replace", file, errno);
  } catch (...) {
    ::unlink(fresh.c_str());
    throw;
  }
  if (durable) sync_folder(file.parent_path());
}

void sync_folder(const fs::path& folder) {
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid() || ::fsync(fd.get()) != 0) throw_file_error("write", folder, errno);
}

}  // namespace weir::embedded
