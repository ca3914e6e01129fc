#include "pg/conninfo.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <regex>

#include "base/error.h"
#include "base/text.h"
#include "pg/wire.h"

namespace weir::pg {
namespace {

std::string percent_encode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  constexpr std::string_view kPlain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  std::string out;
  for (const char c : text) {
    if (kPlain.find(c) != std::string_view::npos) {
      out.push_back(c);
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out.push_back('%');
    out.push_back(kHex[byte >> 4U]);
    out.push_back(kHex[byte & 0x0FU]);
  }
  return out;
}

/// How a client keeps its connection, not which server it means: in a message they only hide the rest.
bool is_housekeeping(std::string_view key) noexcept {
  constexpr std::array<std::string_view, 7> kKeys{
      "application_name",    "client_encoding",  "keepalives",      "keepalives_idle",
      "keepalives_interval", "keepalives_count", "tcp_user_timeout"};
  return std::find(kKeys.begin(), kKeys.end(), key) != kKeys.end();
}

[[noreturn]] void malformed(const std::string& reason) {
  throw weir::Error(
      ExitCode::usage, "the connection string is malformed: " + redact_password(reason),
      "Write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with special characters percent-encoded, "
      "or as key=value words.");
}

/// libpq looks at the port only when it connects, and then blames the server.
void check_ports(std::string_view list) {
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(','), list.size());
    const std::string_view port = list.substr(0, end);
    list.remove_prefix(std::min(end + 1, list.size()));
    int number = 0;
    const auto parsed = std::from_chars(port.data(), port.data() + port.size(), number);
    const bool whole = parsed.ec == std::errc() && parsed.ptr == port.data() + port.size();
    if (port.empty() || (whole && number >= 1 && number <= 65535)) continue;
    malformed("port \"" + printable(port) + "\" is not a number from 1 to 65535");
  }
}

}  // namespace

Conninfo Conninfo::parse(std::string_view text) {
  Conninfo conninfo;
  auto options = parse_conninfo(std::string(text));
  if (!options) malformed(options.error());
  conninfo.options_ = std::move(*options);
  check_ports(conninfo.get("port").value_or(""));
  return conninfo;
}

std::optional<std::string_view> Conninfo::get(std::string_view key) const noexcept {
  const auto found =
      std::find_if(options_.begin(), options_.end(), [&](const auto& pair) { return pair.first == key; });
  if (found == options_.end()) return std::nullopt;
  return found->second;
}

Conninfo& Conninfo::set(std::string_view key, std::string_view value) {
  const auto found =
      std::find_if(options_.begin(), options_.end(), [&](const auto& pair) { return pair.first == key; });
  if (found == options_.end()) {
    options_.emplace_back(key, value);
  } else {
    found->second = value;
  }
  return *this;
}

Conninfo& Conninfo::set_default(std::string_view key, std::string_view value) {
  return get(key) ? *this : set(key, value);
}

std::string Conninfo::url() const { return to_url(true); }
std::string Conninfo::display() const { return to_url(false); }

std::string Conninfo::to_url(bool complete) const {
  std::string url = "postgresql://";
  if (const auto user = get("user")) {
    url += percent_encode(*user);
    const auto password = get("password");
    if (password && complete) url += ":" + percent_encode(*password);
    url += "@";
  }
  // A socket folder and a list of hosts have no place before the path: they go among the options.
  const auto host = get("host");
  const bool plain_host = host && !host->empty() && host->find_first_of("/,@:") == std::string_view::npos;
  const auto port = get("port");
  const bool plain_port = plain_host && port && port->find(',') == std::string_view::npos;
  if (plain_host) url += percent_encode(*host);
  if (plain_port) url += ":" + std::string(*port);
  url += "/" + percent_encode(get("dbname").value_or(""));
  char separator = '?';
  for (const auto& [key, value] : options_) {
    const bool in_front =
        key == "user" || key == "dbname" || (key == "host" && plain_host) || (key == "port" && plain_port);
    const bool secret = key == "password" || key == "sslpassword";
    const bool hidden = secret && (!complete || (key == "password" && get("user")));
    if (in_front || hidden || (!complete && is_housekeeping(key))) continue;
    url += separator + key + "=" + percent_encode(value);
    separator = '&';
  }
  return url;
}

std::string redact_password(std::string_view text) {
  static const std::regex in_url(R"((://[^:/?#@\s]*):[^/?#\s]*@)");
  static const std::regex in_words(R"re((password\s*=\s*)('[^']*'|[^\s'&]+))re", std::regex::icase);
  const std::string once = std::regex_replace(std::string(text), in_url, "$1:***@");
  return std::regex_replace(once, in_words, "$1***");
}

}  // namespace weir::pg
