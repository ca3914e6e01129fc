#include "embedded/cluster.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>

#include <sys/random.h>
#include <unistd.h>

#include <fmt/format.h>
#include <locale.h>

#include "base/error.h"
#include "base/text.h"
#include "embedded/files.h"
#include "embedded/server_log.h"
#include "exec/child.h"

extern char** environ;

namespace weir::embedded {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kStagingPrefix = "data.new-";

/// A data folder in the making; gone again with its password unless it was put into place.
class Staging {
 public:
  explicit Staging(const Site& site) : password_(site.password()) {
    remove_leftovers(site.home);
    std::string name = site.home / (std::string(kStagingPrefix) + "XXXXXX");
    if (::mkdtemp(name.data()) == nullptr) throw_file_error("make folder", name, errno);
    folder_ = name;
  }
  ~Staging() {
    if (folder_.empty()) return;
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
    fs::remove(password_, ignored);
  }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  [[nodiscard]] const fs::path& folder() const noexcept { return folder_; }

  void put_into_place(const fs::path& data, bool durable) {
    if (::rename(folder_.c_str(), data.c_str()) != 0) throw_file_error("put into place", data, errno);
    folder_.clear();
    // By now the orphaned initdb of a killed process has failed, which made files while they were removed.
    remove_leftovers(data.parent_path());
    if (durable) sync_folder(data.parent_path());
  }

 private:
  /// Of a process that was killed in the middle. Its initdb may still run; it fails when its files go.
  static void remove_leftovers(const fs::path& home) {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(home, ignored)) {
      if (entry.path().filename().string().starts_with(kStagingPrefix)) fs::remove_all(entry.path(), ignored);
    }
  }

  fs::path password_;
  fs::path folder_;
};

void run_step(const char* step, exec::Command command, const Site& site, Deadline deadline,
              const std::stop_token& stop) {
  command.env = server_environment();
  command.run_as = site.server_user;
  command.cwd = site.home;
  const exec::Outcome outcome = exec::run_command(command, deadline, stop);
  if (outcome.ok()) return;
  if (outcome.cause == exec::Outcome::Cause::stopped) {
    throw Error(ExitCode::interrupted, fmt::format("stopped during {}; nothing was left behind", step));
  }
  const std::string line = last_useful_line(outcome.out + outcome.err);
  std::string remedy = "Repair the cause and start again: what was begun has been removed.";
  if (line.find("No space left") != std::string::npos) {
    remedy = fmt::format("Make room on the disk of {} (a new database takes about 60 MB), then start again.",
                         site.home.string());
  }
  throw Error(ExitCode::database,
              fmt::format("cannot make a database in {}: {} failed ({}){}{}", site.home.string(), step,
                          outcome.describe(), line.empty() ? "" : ": ", line),
              remedy);
}

/// UTF-8 rules for character classes where the machine has them, with C's fast byte order in either case.
const char* best_locale() {
  const locale_t found = ::newlocale(LC_ALL_MASK, "C.UTF-8", nullptr);
  if (found == nullptr) return "C";
  ::freelocale(found);
  return "C.UTF-8";
}

void append_include(const fs::path& folder, bool durable) {
  const fs::path file = folder / "postgresql.conf";
  const auto text = read_small_file(file);
  if (!text) throw_file_error("read", file, ENOENT);
  // Relative to the data folder, so that the project can be moved.
  write_file(file,
             *text + "\n# Everything that weir sets, and custom.conf beside it.\ninclude = '../weir.conf'\n",
             durable);
}

std::string random_password() {
  std::array<unsigned char, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    throw_errno("getrandom");
  std::string out;
  for (const unsigned char byte : bytes) out += fmt::format("{:02x}", byte);
  return out;
}

}  // namespace

std::optional<int> data_major(const fs::path& data) {
  std::error_code failure;
  const auto text = read_small_file(data / "PG_VERSION");
  if (!text) {
    if (!fs::exists(data, failure) || fs::is_empty(data, failure)) return std::nullopt;
    throw Error(ExitCode::refused,
                fmt::format("{} is not a PostgreSQL data folder, and it is not empty", data.string()),
                "Move it away, then start again.");
  }
  int major = 0;
  if (std::from_chars(text->data(), text->data() + text->size(), major).ec != std::errc()) {
    throw Error(ExitCode::refused,
                fmt::format("{} does not name a version of PostgreSQL: \"{}\"",
                            (data / "PG_VERSION").string(), printable(elide(trim(*text), 40))),
                "The data folder is damaged: restore it from a backup, or move it away and start again.");
  }
  return major;
}

std::map<std::string, std::optional<std::string>> server_environment() {
  std::map<std::string, std::optional<std::string>> env{{"LC_ALL", "C"}};
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    if (text.starts_with("PG")) env[std::string(text.substr(0, text.find('=')))] = std::nullopt;
  }
  return env;
}

std::string read_password(const Site& site) {
  const auto text = read_small_file(site.password());
  if (text && !trim(*text).empty()) return std::string(trim(*text));
  throw Error(ExitCode::database,
              fmt::format("the password file {} is missing or empty", site.password().string()),
              "Set a new password in psql (ALTER ROLE weir PASSWORD '..') and write it into that file.");
}

void make_cluster(const Site& site, const Binaries& binaries, bool durable, Deadline deadline,
                  const std::stop_token& stop) {
  Staging staging(site);
  write_file(site.password(), random_password() + "\n", durable);
  const std::string folder = staging.folder();

  exec::Command initdb;
  initdb.argv = {binaries.folder / "initdb",
                 "-D",
                 folder,
                 "-U",
                 kName,
                 "-E",
                 "UTF8",
                 "--no-instructions",
                 std::string("--locale=") + best_locale(),
                 "--auth-local=trust",
                 "--auth-host=scram-sha-256",
                 "--pwfile=" + site.password().string()};
  if (!durable) initdb.argv.emplace_back("--no-sync");
  run_step("initdb", std::move(initdb), site, deadline, stop);

  // The single-user mode needs no socket, so the database is there before anybody can connect.
  exec::Command create;
  create.argv = {binaries.folder / "postgres", "--single", "-D", folder, "-c", "exit_on_error=on"};
  if (!durable) create.argv.emplace_back("-F");
  create.argv.emplace_back("postgres");
  create.input = std::string("CREATE DATABASE ") + kName + "\n";
  run_step("CREATE DATABASE", std::move(create), site, deadline, stop);

  append_include(staging.folder(), durable);
  staging.put_into_place(site.data(), durable);
}

}  // namespace weir::embedded
