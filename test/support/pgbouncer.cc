#include "support/pgbouncer.h"

#include <fstream>

#include <unistd.h>

#include "exec/child.h"
#include "support/waiting.h"

namespace weir::test {
namespace {

constexpr std::string_view name_of(PgBouncer::Mode mode) {
  switch (mode) {
    case PgBouncer::Mode::session: return "session";
    case PgBouncer::Mode::transaction: return "transaction";
    case PgBouncer::Mode::statement: return "statement";
  }
  return "";
}

void write(const std::filesystem::path& path, const std::string& text) { std::ofstream(path) << text; }

}  // namespace

PgBouncer::PgBouncer(Mode mode) : folder_("pgbouncer"), port_(free_port()) {
  const pg::Conninfo server = TestServer::shared().tcp_conninfo();
  const std::filesystem::path configuration = folder_.path() / "pgbouncer.ini";
  write(folder_.path() / "users.txt", "\"" + std::string(server.get("user").value()) + "\" \"" +
                                          std::string(server.get("password").value()) + "\"\n");
  write(configuration,
        "[databases]\n* = host=127.0.0.1 port=" + std::string(server.get("port").value()) +
            "\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port=" + std::to_string(port_) +
            "\nunix_socket_dir=\nauth_type=trust\nauth_file=" + (folder_.path() / "users.txt").string() +
            "\npool_mode=" + std::string(name_of(mode)) +
            "\ndefault_pool_size=" + (mode == Mode::session ? "20" : "5") + "\nmax_client_conn=100\n");
  exec::Command command;
  command.argv = {"/usr/sbin/pgbouncer", configuration.string()};
  if (::geteuid() == 0) command.run_as = exec::find_user("postgres");  // it refuses to run as root
  child_ = std::make_unique<exec::Child>(command);
  wait_until(
      [&] {
        try {
          return pg::Connector(conninfo("weir")).connect(pg::Role::api, "test-look").is_open();
        } catch (const pg::ConnectionLost&) {
          return false;
        }
      },
      "pgbouncer to answer");
}

PgBouncer::~PgBouncer() = default;

pg::Conninfo PgBouncer::conninfo(const std::string& database) const {
  pg::Conninfo conninfo = TestServer::shared().tcp_conninfo(database);
  conninfo.set("host", "127.0.0.1").set("port", std::to_string(port_)).set("sslmode", "disable");
  return conninfo;
}

}  // namespace weir::test
