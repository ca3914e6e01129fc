#include "support/standby.h"

#include <csignal>
#include <optional>
#include <stdexcept>

#include <unistd.h>

#include <gtest/gtest.h>

#include "embedded/cluster.h"
#include "embedded/files.h"
#include "embedded/settings.h"
#include "exec/child.h"
#include "exec/file_identity.h"
#include "exec/process.h"
#include "exec/user.h"
#include "support/waiting.h"

namespace weir::test {
namespace {

namespace fs = std::filesystem;

constexpr Duration kPatience = std::chrono::seconds(60);

/// The programs of the version that the primary is of.
fs::path programs_of(const TestServer& server) {
  const auto postmaster = exec::Process::find(server.pid());
  if (!postmaster) throw std::runtime_error("the primary does not run");
  return fs::path(postmaster->arguments().at(0)).parent_path();
}

/// Nothing: we ourselves.
std::optional<exec::User> user_of(const TestServer& server) {
  if (::geteuid() != 0) return std::nullopt;
  return exec::find_user(server.status().user);
}

exec::Command as_server(const TestServer& primary, const fs::path& home, std::vector<std::string> argv) {
  exec::Command command;
  command.argv = std::move(argv);
  command.env = embedded::server_environment();
  command.cwd = home;
  command.run_as = user_of(primary);
  return command;
}

}  // namespace

Standby::Standby(const TestServer& primary)
    : primary_(primary.conninfo()), folder_("standby"), home_(folder_.path() / "home") {
  const fs::path programs = programs_of(primary);
  embedded::make_private_folder(home_, std::nullopt, user_of(primary));
  copy(primary, programs);
  start(primary, programs);
}

Standby::~Standby() {
  try {
    if (const auto postmaster = exec::Process::find(server_->pid())) postmaster->signal(SIGINT);
    server_->wait(Deadline::after(kPatience), {});
  } catch (const std::exception& error) {
    ADD_FAILURE() << "the standby did not go: " << error.what();
  }
}

void Standby::copy(const TestServer& primary, const fs::path& programs) {
  const exec::Outcome made = exec::run_command(
      as_server(primary, home_,
                {(programs / "pg_basebackup").string(), "-D", (home_ / "data").string(), "-d", primary_.url(),
                 "--checkpoint=fast", "--write-recovery-conf", "--no-sync"}),
      Deadline::after(kPatience), {});
  if (!made.ok()) throw std::runtime_error("pg_basebackup: " + made.describe() + ": " + made.err);
  // Its configuration, which the copied one includes, is beside the data: as the primary's, but for its
  // place.
  const exec::FileIdentity as_owner(user_of(primary));
  const fs::path other = primary.status().data.parent_path();
  std::string settings;
  for (const char* name : {"weir.conf", "custom.conf"})
    settings += embedded::read_small_file(other / name).value_or("") + "\n";
  settings += "listen_addresses = ''\nunix_socket_directories = " + embedded::quote_setting(home_.string()) +
              "\nlog_directory = " + embedded::quote_setting((home_ / "log").string()) + "\n";
  embedded::write_file(home_ / "weir.conf", settings, false);
}

void Standby::start(const TestServer& primary, const fs::path& programs) {
  server_ = std::make_unique<exec::Child>(
      as_server(primary, home_, {(programs / "postgres").string(), "-D", (home_ / "data").string()}));
  wait_until(
      [&] {
        try {
          return look().is_open();
        } catch (const pg::ConnectionLost&) {
          return false;
        }
      },
      "the standby to answer", kPatience);
}

pg::Session Standby::look() const {
  return pg::Connector(conninfo(), {.require_primary = false}).connect(pg::Role::api, "test-look");
}

void Standby::catch_up() {
  pg::Session there = pg::Connector(primary_).connect(pg::Role::api, "test-mark");
  there.set("synchronous_commit", "on");
  const auto mark = there.execute("SELECT pg_logical_emit_message(true, 'test'::text, 'mark'::text)::text")[0]
                        .get<std::string>(0);
  pg::Session here = look();
  wait_until(
      [&] {
        return here.execute("SELECT coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, false)", mark)[0]
            .get<bool>(0);
      },
      "the standby to have what the primary has", kPatience);
}

void Standby::cut_off() {
  pg::Session here = look();
  here.execute("ALTER SYSTEM SET primary_conninfo = ''");
  here.execute("SELECT pg_reload_conf()");
  wait_until(
      [&] {
        return here
            .execute(
                "SELECT current_setting('primary_conninfo') = '' AND NOT EXISTS (SELECT FROM "
                "pg_stat_wal_receiver)")[0]
            .get<bool>(0);
      },
      "the standby to be cut off", kPatience);
}

void Standby::promote() {
  if (!look().execute("SELECT pg_promote(true, 60)")[0].get<bool>(0))
    throw std::runtime_error("the standby was not promoted");
}

pg::Conninfo Standby::conninfo() const {
  pg::Conninfo conninfo = primary_;
  conninfo.set("host", home_.string());
  return conninfo;
}

pg::Conninfo Standby::either() const {
  pg::Conninfo conninfo = primary_;
  conninfo.set("host", std::string(primary_.get("host").value()) + "," + home_.string());
  return conninfo;
}

}  // namespace weir::test
