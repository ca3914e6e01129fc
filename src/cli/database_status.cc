#include "cli/database_status.h"

#include <charconv>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/term/table.h"
#include "schema/schema_check.h"

namespace weir::cli {
namespace {

using nlohmann::ordered_json;

template <class Value>
ordered_json or_null(const std::optional<Value>& value) {
  return value ? ordered_json(*value) : ordered_json();
}
ordered_json or_null(const std::string& text) { return text.empty() ? ordered_json() : ordered_json(text); }

void ask_server(DatabaseStatus& status, const pg::Conninfo& conninfo, const Context& context) {
  const pg::Connector connector = connector_for(conninfo, false);
  pg::Session session = connector.connect(pg::Role::api, "status", {.stop = context.stop});
  session.set_stop(context.stop);
  status.version = session.server_setting("server_version");
  status.standby = session.execute("SELECT pg_is_in_recovery()")[0].get<bool>(0);
  const schema::SchemaCheck check = schema::check_schema(session);
  status.schema = {std::string(to_string(check.state)), check.plan.applied, check.plan.known};
}

std::optional<int> tcp_port(const embedded::ServerStatus& server) {
  if (!server.tcp_url) return std::nullopt;
  const pg::Conninfo conninfo = pg::Conninfo::parse(*server.tcp_url);
  const std::string_view text = conninfo.get("port").value_or("");
  int port = 0;
  std::from_chars(text.data(), text.data() + text.size(), port);
  return port;
}

std::string schema_in_words(const DatabaseStatus::Schema& schema) {
  return fmt::format("{} ({} of {} migrations applied)", schema.state, schema.applied, schema.known);
}

}  // namespace

DatabaseStatus look_at_database(const Context& context, const DatabaseChoice& choice) {
  DatabaseStatus status;
  status.source = choice.source;
  if (choice.given) {
    status.state = name_of(embedded::ServerState::running);
    status.url = choice.given->display();
    ask_server(status, *choice.given, context);
    return status;
  }
  const embedded::ServerStatus server = private_server(context.global).status();
  status.state = name_of(server.state);
  status.url = server.url;
  status.data_dir = server.data;
  status.socket_dir = server.socket_folder;
  status.log = server.logs;
  status.notices = server.notices;
  status.pid = server.pid;
  status.port = tcp_port(server);
  if (server.major) {
    status.version = std::to_string(*server.major);
    status.bytes = server.bytes;
  }
  if (server.pid) status.kept = server.kept;
  if (server.state == embedded::ServerState::running) {
    ask_server(status, pg::Conninfo::parse(server.url), context);
  }
  return status;
}

ordered_json to_json(const DatabaseStatus& status) {
  ordered_json schema;
  if (status.schema) {
    schema = {{"state", status.schema->state},
              {"applied", status.schema->applied},
              {"known", status.schema->known}};
  }
  return {{"state", status.state},
          {"source", status.source},
          {"url", status.url},
          {"pid", or_null(status.pid)},
          {"version", or_null(status.version)},
          {"standby", or_null(status.standby)},
          {"port", or_null(status.port)},
          {"data_dir", or_null(status.data_dir.string())},
          {"socket_dir", or_null(status.socket_dir.string())},
          {"log", or_null(status.log.string())},
          {"bytes", or_null(status.bytes)},
          {"kept", or_null(status.kept)},
          {"schema", schema},
          {"notices", status.notices}};
}

std::string to_text(const DatabaseStatus& status, const Paint& paint) {
  const bool running = status.state == name_of(embedded::ServerState::running);
  const Color color = running ? Color::green : Color::yellow;
  Table table({{""}, {""}});
  table.add({"state", Table::Cell(status.state, color)});
  table.add({"server", status.source == "private" ? "private, of this project" : "from " + status.source});
  if (!status.version.empty()) {
    table.add({"version", fmt::format("PostgreSQL {}{}", status.version,
                                      status.standby.value_or(false) ? ", a read-only standby" : "")});
  }
  if (status.pid) table.add({"process", std::to_string(*status.pid)});
  if (status.kept) {
    table.add({"ends", *status.kept ? "with: weir db stop" : "with the last weir up that uses it"});
  }
  if (status.schema) table.add({"schema", schema_in_words(*status.schema)});
  if (!status.data_dir.empty()) {
    const std::string size = status.bytes ? fmt::format(" ({})", human_bytes(*status.bytes)) : "";
    table.add({"data", status.data_dir.string() + size});
    table.add({"logs", status.log.string()});
  }
  if (status.port) table.add({"port", fmt::format("{} on 127.0.0.1, see: weir db url --tcp", *status.port)});
  if (running) {
    table.add({"connect", psql_command(status.url)});
  } else {
    table.add({"start", "weir db start, or weir up"});
  }
  std::string text = table.render(paint);
  for (const std::string& notice : status.notices) text += fmt::format("note: {}\n", printable(notice));
  return text;
}

std::string psql_command(const std::string& url) { return fmt::format("psql '{}'", url); }

}  // namespace weir::cli
