#include "embedded/site_choice.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/text.h"

namespace weir::embedded {

namespace fs = std::filesystem;

std::optional<std::string> choose_user(const UserFacts& facts) {
  if (!facts.root) {
    if (!facts.wanted || *facts.wanted == facts.myself) return std::nullopt;
    throw Error(ExitCode::refused,
                fmt::format("WEIR_PG_USER is {}, but only root can run the server as somebody else",
                            printable(*facts.wanted)),
                "Unset WEIR_PG_USER, or run as root or as that user.");
  }
  if (facts.wanted) {
    if (facts.wanted_usable) return facts.wanted;
    throw Error(ExitCode::usage,
                fmt::format("WEIR_PG_USER is {}, which is not an unprivileged user of this machine",
                            printable(*facts.wanted)),
                "Set it to a user that exists and is not root, or unset it.");
  }
  if (facts.data_owner) return facts.data_owner;
  if (facts.project_owner) return facts.project_owner;
  if (facts.has_postgres) return "postgres";
  throw Error(ExitCode::refused,
              "PostgreSQL does not run as root, and there is no user postgres on this machine to run it as",
              "Make one (useradd --system postgres), or set WEIR_PG_USER to an unprivileged user, or do not "
              "run as root.");
}

FolderChoice choose_folder(const FolderFacts& facts) {
  if (!facts.closed) {
    if (facts.project_has_data || !facts.system_has_data) return {facts.in_project, std::nullopt};
    return {facts.in_system,
            fmt::format("the server's data is in {}, from when its user could not enter the project folder",
                        facts.in_system.string())};
  }
  if (facts.project_has_data) {
    throw Error(ExitCode::refused,
                fmt::format("the server's data is in {}, but its user {} can no longer enter {}",
                            facts.in_project.string(), facts.user, facts.closed->string()),
                fmt::format("Let the user in (chmod o+x {}), or set WEIR_PG_USER to a user who may enter.",
                            facts.closed->string()));
  }
  return {facts.in_system, fmt::format("the server's user {} cannot enter {}, so its data is in {}",
                                       facts.user, facts.closed->string(), facts.in_system.string())};
}

std::string system_folder_name(const fs::path& project) {
  return fmt::format("{}-{:016x}", project.filename().string().substr(0, 64), fnv1a(project.string()));
}

fs::path choose_socket_folder(const fs::path& home, uid_t uid) {
  constexpr std::size_t kLongestAddress = 107;
  constexpr std::string_view kLongestName = "/.s.PGSQL.65535";
  fs::path inside = home / "run";
  const std::string text = inside.string();
  if (text.size() + kLongestName.size() <= kLongestAddress &&
      text.find_first_of(",\"") == std::string::npos) {
    return inside;
  }
  return fmt::format("/tmp/weir-{}-{:016x}", uid, fnv1a(home.string()));
}

}  // namespace weir::embedded
