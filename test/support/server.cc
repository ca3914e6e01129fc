#include "support/server.h"

#include <charconv>
#include <csignal>
#include <memory>
#include <string_view>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <fmt/format.h>

#include "base/error.h"
#include "base/unique_fd.h"
#include "embedded/files.h"
#include "exec/file_identity.h"
#include "exec/process.h"
#include "pg/connector.h"
#include "pg/identifier.h"
#include "support/processes.h"

namespace weir::test {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "weir-test-";
constexpr Duration kServerSpan = std::chrono::seconds(60);

embedded::ServerOptions options_for(const fs::path& project) {
  embedded::ServerOptions options;
  options.project = project;
  options.durable = false;
  return options;
}

/// Into the file that is the user's own. Small buffers, because the end of every database is looked for in
/// all of them.
void write_settings(const fs::path& project, TestServer::Vacuum vacuum) {
  const embedded::Site site = embedded::find_site(project, std::nullopt, options_for(project).system_folder);
  embedded::make_control_folder(site);
  embedded::make_home(site);
  const exec::FileIdentity as_server(site.server_user);
  std::string settings =
      "shared_buffers = 16MB\nmax_connections = 100\nmax_prepared_transactions = 8\ntimezone = 'UTC'\n";
  // On, and never there: off is what weir doctor finds fault with.
  if (vacuum == TestServer::Vacuum::never_by_itself) settings += "autovacuum_naptime = 1d\n";
  embedded::write_file(site.home / "custom.conf", settings, false);
}

/// Its data need not be in the project's folder: that may be closed to the server's user.
void remove_server(embedded::PrivateServer& server) {
  server.stop(Deadline::after(kServerSpan), {});
  fs::remove_all(server.status().data.parent_path());
}

void remove_left_over(const fs::path& folder) {
  try {
    if (fs::exists(folder / ".weir")) {
      embedded::PrivateServer server(options_for(folder));
      remove_server(server);
    }
    fs::remove_all(folder);
  } catch (const std::exception& error) {
    fmt::print(stderr, "cannot remove {}, which an earlier run left: {}\n", folder.string(), error.what());
  }
}

/// Folders carry the number of the process that made them.
void remove_what_dead_runs_left() {
  for (const fs::directory_entry& entry : fs::directory_iterator(fs::temp_directory_path())) {
    const std::string name = entry.path().filename().string();
    struct stat info {};
    if (!name.starts_with(kPrefix) || ::lstat(entry.path().c_str(), &info) != 0) continue;
    if (!S_ISDIR(info.st_mode) || info.st_uid != ::geteuid()) continue;
    pid_t pid = 0;
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), pid);
    if (pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH) remove_left_over(entry.path());
  }
}

std::unique_ptr<TestServer>& shared_server() {
  static std::unique_ptr<TestServer> server;
  return server;
}

}  // namespace

int free_port() {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) throw_errno("bind");
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) throw_errno("getsockname");
  return ntohs(address.sin_port);
}

ScratchFolder::ScratchFolder(const std::string& purpose) {
  static const bool cleaned = (remove_what_dead_runs_left(), true);
  static_cast<void>(cleaned);
  std::string name =
      (fs::temp_directory_path() / fmt::format("{}{}-{}-XXXXXX", kPrefix, ::getpid(), purpose)).string();
  if (::mkdtemp(name.data()) == nullptr) throw_errno("mkdtemp");
  path_ = name;
  fs::permissions(path_, fs::perms::owner_all | fs::perms::group_exec | fs::perms::others_exec);
}

ScratchFolder::~ScratchFolder() {
  std::error_code failure;
  fs::remove_all(path_, failure);
  if (failure) ADD_FAILURE() << "cannot remove " << path_ << ": " << failure.message();
}

TestServer::TestServer(Vacuum vacuum) : folder_("server") {
  write_settings(folder_.path(), vacuum);
  // Somebody else may take the port between our look and the server's start.
  for (int attempts_left = 3; status_.state != embedded::ServerState::running; --attempts_left) {
    port_ = free_port();
    embedded::ServerOptions options = options_for(folder_.path());
    options.tcp_port = static_cast<std::uint16_t>(port_);
    server_.emplace(std::move(options));
    try {
      start();
    } catch (const Error& error) {
      if (attempts_left == 0 ||
          std::string_view(error.what()).find("port is in use") == std::string_view::npos)
        throw;
    }
  }
}

TestServer::~TestServer() {
  try {
    remove_server(*server_);
  } catch (const std::exception& error) {
    ADD_FAILURE() << "the test server did not go: " << error.what();
  }
}

TestServer& TestServer::shared() {
  if (!shared_server()) {
    shared_server() = std::make_unique<TestServer>(Vacuum::never_by_itself);
    const pg::Session session = pg::Connector(shared_server()->conninfo()).connect(pg::Role::api, "test");
    fmt::print("[ server   ] PostgreSQL {}\n", session.server_setting("server_version"));
  }
  return *shared_server();
}

TestServer* TestServer::shared_if_started() noexcept { return shared_server().get(); }
void TestServer::stop_shared() { shared_server().reset(); }

void TestServer::start() { status_ = server_->start(Deadline::after(kServerSpan), {}); }
void TestServer::stop() { server_->stop(Deadline::after(kServerSpan), {}); }

void TestServer::restart() {
  stop();
  start();
}

void TestServer::kill() {
  const auto postmaster = exec::Process::find(pid());
  if (!postmaster) return;
  postmaster->signal(SIGKILL);
  if (postmaster->wait_end(Deadline::after(kServerSpan), {}) != WaitEnd::ready)
    throw std::runtime_error("the killed postmaster goes on");
}

void TestServer::signal_all(int number) const {
  // The postmaster first: it must not start another one behind our back.
  ::kill(pid(), number);
  for (const pid_t child : children_of(pid())) ::kill(child, number);
}

void TestServer::freeze() { signal_all(SIGSTOP); }
void TestServer::thaw() { signal_all(SIGCONT); }

void TestServer::configure(const std::map<std::string, std::string>& settings) {
  pg::Session session = pg::Connector(conninfo()).connect(pg::Role::api, "test-admin");
  for (const auto& [name, value] : settings) {
    session.execute("ALTER SYSTEM SET " + pg::quote_identifier(name) + " = " + pg::quote_literal(value));
  }
}

pg::Conninfo TestServer::conninfo(const std::string& database) const {
  return pg::Conninfo::parse(status_.url).set("dbname", database);
}

pg::Conninfo TestServer::tcp_conninfo(const std::string& database) const {
  return pg::Conninfo::parse(status_.tcp_url.value()).set("dbname", database);
}

int TestServer::pid() const { return status_.pid.value(); }

}  // namespace weir::test
