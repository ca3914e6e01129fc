#include "pg/connect_error.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/text.h"

namespace weir::pg {
namespace {

struct Remedy {
  std::string_view sign;  ///< an SQLSTATE, or words of libpq's own message (which is never translated here)
  std::string_view text;
};

constexpr std::array kBySqlstate{
    Remedy{"28P01", "Check the user name and the password (DATABASE_URL, PGPASSWORD or ~/.pgpass)."},
    Remedy{
        "28000",
        "The server's pg_hba.conf does not let this user in from here: check the user name, sslmode and the "
        "server's pg_hba.conf."},
    Remedy{"3D000", "Create the database (createdb NAME) or correct its name in the connection string."},
    Remedy{"53300",
           "All of the server's connections are in use: stop some clients, lower Weir's pools, or raise "
           "max_connections."},
    Remedy{"57P03", "The server is starting up, shutting down or recovering: try again in a few seconds."},
    Remedy{"42501", "The user may not connect to this database: GRANT CONNECT ON DATABASE .. TO .."},
    Remedy{"55000", "The database does not accept connections: choose another one."},
};

constexpr std::array kByWords{
    Remedy{"No such file or directory",
           "No server listens on that socket: start it (weir db start) or correct the host."},
    Remedy{"Connection refused", "No server listens there: start it, or correct the host and the port."},
    Remedy{"could not translate host name",
           "The host name is not known: check its spelling and the name service."},
    Remedy{"Network is unreachable",
           "There is no route to that host from here: check the address and the network."},
    Remedy{"No route to host",
           "There is no route to that host from here: check the address and the network."},
    Remedy{"timed out", "Nothing answers there: check the host, the port and any firewall in between."},
    Remedy{"Permission denied",
           "This user may not open that socket: check its folder's permissions, or use TCP."},
    Remedy{"no password supplied",
           "The server asks for a password: put it into the URL, PGPASSWORD or ~/.pgpass."},
    Remedy{"session is read-only",
           "Only a read-only server was found: name the primary, or all hosts of the cluster."},
    Remedy{"server does not support SSL",
           "The server has no TLS: set sslmode=prefer or disable, or switch TLS on there."},
    Remedy{"certificate",
           "TLS verification failed: check sslrootcert and that the host name is the certificate's."},
    Remedy{"invalid response to SSL negotiation",
           "What listens there is no PostgreSQL server: check the host and the port."},
    Remedy{"expected authentication request",
           "What listens there is no PostgreSQL server: check the host and the port."},
    Remedy{
        "server closed the connection unexpectedly",
        "What listens there is no PostgreSQL server, or it went down: check the port and the server's log."},
};

bool is_sqlstate(std::string_view text) {
  return text.size() == 5 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
         });
}

/// In a verbose report "FATAL:  28P01: password ..": the word before the code may be translated, the code is
/// not. Takes the code out of the text, where it tells a person nothing.
std::string take_sqlstate(std::string& text) {
  for (std::size_t at = text.find(":  "); at != std::string::npos; at = text.find(":  ", at + 1)) {
    std::string code = text.substr(at + 3, 5);
    if (!is_sqlstate(code) || text.compare(at + 8, 2, ": ") != 0) continue;
    text.erase(at + 1, 8);
    return code;
  }
  return {};
}

/// One line. What stands after LOCATION is PostgreSQL's source file, and libpq's question is what the remedy
/// answers.
std::string flatten(std::string_view report) {
  std::string text;
  while (!report.empty()) {
    const std::size_t end = std::min(report.find('\n'), report.size());
    const std::string_view line = trim(report.substr(0, end));
    report.remove_prefix(std::min(end + 1, report.size()));
    if (line.empty() || line.starts_with("LOCATION:") || line.starts_with("Is the server running")) continue;
    if (!text.empty()) text += text.back() == ':' ? " " : "; ";
    text += line;
  }
  return text;
}

std::string_view remedy_for(std::string_view sqlstate, std::string_view text) {
  for (const Remedy& remedy : kBySqlstate) {
    if (sqlstate == remedy.sign) return remedy.text;
  }
  for (const Remedy& remedy : kByWords) {
    if (text.find(remedy.sign) != std::string_view::npos) return remedy.text;
  }
  return "Check the connection string and the server's log.";
}

}  // namespace

ErrorInfo explain_connect_failure(std::string_view report, const Conninfo& conninfo) {
  std::string text = redact_password(flatten(report));
  std::string sqlstate = take_sqlstate(text);
  const std::string hint(remedy_for(sqlstate, text));
  return {.kind = ErrorKind::connect,
          .message = "cannot connect to " + conninfo.display() + ": " + text,
          .sqlstate = std::move(sqlstate),
          .hint = hint};
}

}  // namespace weir::pg
