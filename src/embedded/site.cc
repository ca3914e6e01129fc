#include "embedded/site.h"

#include <algorithm>
#include <cerrno>
#include <stdexcept>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "embedded/files.h"
#include "embedded/site_choice.h"
#include "exec/file_identity.h"

namespace weir::embedded {

namespace fs = std::filesystem;

namespace {

std::optional<struct stat> look_at(const fs::path& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) == 0) return info;
  if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
  throw_file_error("look at", path, errno);
}

fs::path checked_project(const fs::path& given) {
  std::error_code failure;
  fs::path project = fs::canonical(given, failure);
  if (!failure && !fs::is_directory(project, failure))
    failure = std::make_error_code(std::errc::not_a_directory);
  if (failure) throw_file_error("use project folder", given, failure.value(), ExitCode::usage);
  const std::string text = project.string();
  if (std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; })) {
    throw Error(ExitCode::usage,
                fmt::format("the path of the project folder has a control character: {}", printable(text)),
                "Rename the folder: PostgreSQL's files cannot hold such a path.");
  }
  return project;
}

std::optional<std::string> name_of(uid_t uid) {
  const auto user = exec::find_user(uid);
  return user ? std::optional(user->name) : std::nullopt;
}

/// The first folder on the way to `folder` that `user` cannot enter; found by trying, so that groups and
/// access control lists count as they do for the server.
std::optional<fs::path> closed_for(const exec::User& user, const fs::path& folder) {
  const exec::FileIdentity as_user(user);
  fs::path walked;
  for (const fs::path& part : folder) {
    walked /= part;
    // To open the dot in a folder takes the right to enter the folder.
    const UniqueFd fd(::open((walked / ".").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid() && errno == EACCES) return walked;
    if (!fd.valid()) break;
  }
  return std::nullopt;
}

/// For whoever owns a folder, also when the machine has no name for them.
exec::User owner_of(const struct stat& info) {
  if (auto user = exec::find_user(info.st_uid)) return *user;
  return {std::to_string(info.st_uid), info.st_uid, info.st_gid, {info.st_gid}, "/"};
}

std::optional<exec::User> find_server_user(const struct stat& project, const std::optional<struct stat>& data,
                                           const std::optional<std::string>& wanted) {
  UserFacts facts;
  facts.root = ::geteuid() == 0;
  facts.myself = name_of(::geteuid()).value_or(std::to_string(::geteuid()));
  facts.wanted = wanted;
  const auto wanted_user = wanted ? exec::find_user(*wanted) : std::nullopt;
  facts.wanted_usable = wanted_user && wanted_user->uid != 0;
  if (data && data->st_uid != 0) facts.data_owner = name_of(data->st_uid);
  if (project.st_uid != 0) facts.project_owner = name_of(project.st_uid);
  facts.has_postgres = exec::find_user(std::string("postgres")).has_value();
  const auto name = choose_user(facts);
  return name ? exec::find_user(*name) : std::nullopt;
}

bool has_data(const fs::path& home) { return look_at(home / "data" / "PG_VERSION").has_value(); }

void require_owner(const fs::path& folder, uid_t server_uid) {
  const auto info = look_at(folder);
  if (!info || info->st_uid == server_uid) return;
  const std::string owner = name_of(info->st_uid).value_or(std::to_string(info->st_uid));
  const std::string user = name_of(server_uid).value_or(std::to_string(server_uid));
  throw Error(
      ExitCode::refused,
      fmt::format("folder {} belongs to user {}, but the server would run as {}", folder.string(), owner,
                  user),
      fmt::format("Run as user {}, or give the folder away: chown -R {} {}", owner, user, folder.string()));
}

/// Whose rights make the home: in the project its owner's, in the system folder root's.
const std::optional<exec::User>& home_maker(const Site& site) {
  static const std::optional<exec::User> ourselves;
  return site.home.parent_path() == site.control ? site.control_owner : ourselves;
}

/// A home that is still its maker's was made a moment ago and will be handed over, unless it holds something.
void require_owners(const Site& site, uid_t server_uid) {
  const auto home = look_at(site.home);
  const auto& maker = home_maker(site);
  std::error_code failure;
  const bool being_made = home && site.server_user && home->st_uid == (maker ? maker->uid : ::geteuid()) &&
                          fs::is_empty(site.home, failure);
  if (!being_made) require_owner(site.home, server_uid);
  require_owner(site.data(), server_uid);
}

/// PostgreSQL cuts paths off at 1023 bytes, with errors that name other causes; 900 leave room for its own
/// files.
void require_short(const fs::path& home) {
  constexpr std::size_t kLongest = 900;
  if (home.native().size() <= kLongest) return;
  throw Error(
      ExitCode::usage,
      fmt::format("the path of the project folder is too long: PostgreSQL's files would begin with {} bytes, "
                  "and it can handle {}",
                  home.native().size(), kLongest),
      "Move the project to a folder with a shorter path, or set DATABASE_URL to a server of your own.");
}

/// What root made for a project that its server's user could not enter stays the project's data: an empty
/// database beside it would look like a loss.
void require_no_system_data(const fs::path& in_project, const fs::path& in_system) {
  struct stat system {};
  // Who may not even look there is not kept from a project of their own.
  if (::lstat(in_system.c_str(), &system) != 0 || system.st_uid == ::geteuid() || look_at(in_project)) return;
  const std::string owner = name_of(system.st_uid).value_or(std::to_string(system.st_uid));
  throw Error(
      ExitCode::refused,
      fmt::format("the data of this project is in {} and belongs to user {}", in_system.string(), owner),
      "Run as root, who made it there, or have it removed if nobody needs it.");
}

}  // namespace

Site find_site(const fs::path& project, const std::optional<std::string>& wanted_user,
               const fs::path& system_folder) {
  Site site;
  site.project = checked_project(project);
  site.control = site.project / ".weir";
  if (!system_folder.is_absolute()) throw std::logic_error("the system folder needs an absolute path");
  const fs::path in_project = site.control / "pg";
  const fs::path in_system = system_folder / system_folder_name(site.project);

  const auto project_info = look_at(site.project);
  if (!project_info) throw_file_error("use project folder", site.project, ENOENT, ExitCode::usage);
  auto data_info = look_at(in_project);
  if (!data_info && ::geteuid() == 0) data_info = look_at(in_system);
  site.server_user = find_server_user(*project_info, data_info, wanted_user);

  if (site.server_user) {
    FolderFacts facts;
    facts.in_project = in_project;
    facts.in_system = in_system;
    facts.user = site.server_user->name;
    facts.closed = closed_for(*site.server_user, site.control);
    facts.project_has_data = has_data(in_project);
    facts.system_has_data = has_data(in_system);
    FolderChoice choice = choose_folder(facts);
    site.home = std::move(choice.home);
    if (choice.notice) site.notices.push_back(*choice.notice);
    site.control_owner = owner_of(*project_info);
  } else {
    site.home = in_project;
    require_no_system_data(in_project, in_system);
  }
  require_short(site.home);
  const uid_t server_uid = site.server_user ? site.server_user->uid : ::geteuid();
  require_owners(site, server_uid);
  site.socket_folder = choose_socket_folder(site.home, server_uid);
  return site;
}

void make_control_folder(const Site& site) {
  const exec::FileIdentity as_owner(site.control_owner);
  if (::mkdir(site.control.c_str(), 0755) != 0 && errno != EEXIST) {
    throw_file_error("make folder", site.control, errno);
  }
}

void make_home(const Site& site) {
  {
    const exec::FileIdentity as_owner(site.control_owner);
    const fs::path ignore = site.control / ".gitignore";
    if (!look_at(ignore)) {
      // New, so its mode is our umask's; the server's user has to get through.
      if (::chmod(site.control.c_str(), 0755) != 0) throw_file_error("open", site.control, errno);
      write_file(ignore, "*\n", false);
    }
  }
  if (site.home.parent_path() != site.control) {
    const fs::path system_folder = site.home.parent_path();
    std::error_code failure;
    fs::create_directories(system_folder, failure);
    if (failure) throw_file_error("make folder", system_folder, failure.value());
    // Only the way through is open to everybody; each project's folder in it is private.
    fs::permissions(system_folder, fs::perms(0755), failure);
    if (failure) throw_file_error("open folder", system_folder, failure.value());
  }
  make_private_folder(site.home, home_maker(site), site.server_user);
  const exec::FileIdentity as_server(site.server_user);
  make_private_folder(site.logs(), site.server_user, site.server_user);
}

}  // namespace weir::embedded
