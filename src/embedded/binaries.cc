#include "embedded/binaries.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <system_error>

#include <unistd.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/text.h"
#include "exec/child.h"

namespace weir::embedded {

namespace fs = std::filesystem;

namespace {

constexpr const char* kInstall =
    "Install PostgreSQL 14 or newer (on Debian: apt-get install postgresql), or set WEIR_PG_BIN to a folder "
    "that holds "
    "its postgres and initdb, or set DATABASE_URL to a server of your own.";

bool has_servers_programs(const fs::path& folder) {
  return ::access((folder / "postgres").c_str(), X_OK) == 0 &&
         ::access((folder / "initdb").c_str(), X_OK) == 0;
}

/// Folders on PATH whose `postgres` is one of a full installation; links such as /usr/local/bin/postgres are
/// followed, because the programs look for their files beside themselves. An entry that depends on the
/// current folder, the empty one too, is a trap: the project in it may be somebody else's.
std::vector<fs::path> folders_on_path(std::string_view path) {
  std::vector<fs::path> out;
  for (;;) {
    const std::size_t end = path.find(':');
    std::error_code failure;
    const fs::path folder(path.substr(0, end));
    if (folder.is_absolute()) {
      const fs::path program = fs::canonical(folder / "postgres", failure);
      if (!failure && has_servers_programs(program.parent_path())) out.push_back(program.parent_path());
    }
    if (end == std::string_view::npos) return out;
    path.remove_prefix(end + 1);
  }
}

/// Debian keeps each major version in a folder named after it; newest first.
std::vector<fs::path> versioned_folders(const fs::path& parent) {
  std::vector<std::pair<int, fs::path>> found;
  std::error_code failure;
  for (fs::directory_iterator it(parent, failure), end; !failure && it != end; it.increment(failure)) {
    const std::string name = it->path().filename().string();
    int major = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), major).ec != std::errc()) continue;
    if (has_servers_programs(it->path() / "bin")) found.emplace_back(major, it->path() / "bin");
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<fs::path> out;
  out.reserve(found.size());
  for (auto& [major, folder] : found) out.push_back(std::move(folder));
  return out;
}

Version ask_version(const fs::path& folder, const BinarySearch& search, Deadline deadline,
                    const std::stop_token& stop) {
  exec::Command command;
  command.argv = {folder / "postgres", "--version"};
  command.cwd = "/";
  command.run_as = search.run_as;
  const exec::Outcome outcome = exec::run_command(command, deadline, stop);
  if (outcome.cause == exec::Outcome::Cause::stopped)
    throw Error(ExitCode::interrupted, "stopped while asking for the version of PostgreSQL");
  const auto version = parse_version(outcome.out);
  if (!outcome.ok() || !version) {
    const std::string err = printable(trim(outcome.err));
    throw Error(ExitCode::database,
                fmt::format("{} --version failed ({}){}{}", command.argv.front(), outcome.describe(),
                            err.empty() ? "" : ": ", err),
                kInstall);
  }
  return *version;
}

Binaries wanted_binaries(const BinarySearch& search, Deadline deadline, const std::stop_token& stop) {
  // The programs run in folders of their own, where a relative path would lead somewhere else.
  const fs::path folder = fs::absolute(*search.wanted);
  if (!has_servers_programs(folder)) {
    throw Error(ExitCode::usage,
                fmt::format("WEIR_PG_BIN is {}, which does not hold the programs postgres and initdb",
                            printable(folder.string())),
                "Set it to the bin folder of a PostgreSQL installation, such as /usr/lib/postgresql/15/bin, "
                "or unset it.");
  }
  try {
    return {folder, "WEIR_PG_BIN", ask_version(folder, search, deadline, stop)};
  } catch (const exec::StartError& error) {
    throw Error(ExitCode::usage,
                fmt::format("WEIR_PG_BIN is {}: {}", printable(folder.string()), error.what()),
                "Set it to a folder whose programs that user may execute, or unset it.");
  }
}

}  // namespace

std::optional<Version> parse_version(std::string_view output) {
  constexpr std::string_view kLead = "postgres (PostgreSQL) ";
  if (!output.starts_with(kLead)) return std::nullopt;
  const std::string_view rest = output.substr(kLead.size());
  Version version;
  version.text = rest.substr(0, rest.find_first_of(" \n"));
  const char* end = version.text.data() + version.text.size();
  if (std::from_chars(version.text.data(), end, version.major).ec != std::errc()) return std::nullopt;
  return version;
}

const Binaries* choose_binaries(std::span<const Binaries> candidates, std::optional<int> data_major) {
  const auto fits = [&](const Binaries& binaries) {
    const int major = binaries.version.major;
    return major >= kOldestMajor && (!data_major || major == *data_major);
  };
  const auto found = std::find_if(candidates.begin(), candidates.end(), fits);
  return found == candidates.end() ? nullptr : &*found;
}

void throw_no_binaries(std::span<const Binaries> candidates, std::optional<int> data_major,
                       const fs::path& data, const std::string& searched) {
  if (candidates.empty()) {
    throw Error(ExitCode::database,
                fmt::format("no PostgreSQL server programs were found; searched: {}", searched), kInstall);
  }
  std::vector<std::string> found;
  for (const Binaries& one : candidates)
    found.push_back(fmt::format("{} in {}", one.version.text, one.folder.string()));
  if (!data_major) {
    throw Error(
        ExitCode::refused,
        fmt::format("Weir needs PostgreSQL {} or newer; found: {}", kOldestMajor, fmt::join(found, ", ")),
        kInstall);
  }
  const Version& newest = candidates.front().version;
  throw Error(
      ExitCode::refused,
      fmt::format(
          "the data in {} belongs to PostgreSQL {}, but the programs found are of another version: {}",
          data.string(), *data_major, fmt::join(found, ", ")),
      fmt::format(
          "Set WEIR_PG_BIN to the bin folder of PostgreSQL {0} (Debian: /usr/lib/postgresql/{0}/bin, package "
          "postgresql-{0}). To move to version {1}: with the old programs pg_dump the database, move {2} "
          "away, "
          "start again and restore; or convert the folder with pg_upgrade.",
          *data_major, newest.major, data.string()));
}

Binaries find_binaries(const BinarySearch& search, Deadline deadline, const std::stop_token& stop) {
  std::vector<Binaries> candidates;
  std::string searched;
  if (search.wanted) {
    candidates.push_back(wanted_binaries(search, deadline, stop));
  } else {
    searched = fmt::format("PATH ({}), {}/*/bin", search.path, search.versioned.string());
    std::set<fs::path> seen;
    const auto add = [&](const std::vector<fs::path>& folders, const std::string& found_by) {
      for (const fs::path& folder : folders) {
        if (!seen.insert(folder).second) continue;
        try {
          candidates.push_back({folder, found_by, ask_version(folder, search, deadline, stop)});
        } catch (const Error& error) {
          // One that is broken, or closed to the server's user, does not spoil the others.
          if (error.exit_code() == ExitCode::interrupted || deadline.expired()) throw;
          searched += fmt::format(" (skipped: {})", error.what());
        }
      }
    };
    add(folders_on_path(search.path), "PATH");
    add(versioned_folders(search.versioned), search.versioned.string());
  }
  if (const Binaries* chosen = choose_binaries(candidates, search.data_major)) return *chosen;
  throw_no_binaries(candidates, search.data_major, search.data, searched);
}

}  // namespace weir::embedded
