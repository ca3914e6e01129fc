#include "pg/conninfo.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

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
      ExitCode::usage, "the connection string is malformed: " + reason,
      "Write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with special characters percent-encoded "
      "(@ as %40, : as %3A, / as %2F, % as %25), or as key=value words with quotes around values that have "
      "spaces.");
}

/// libpq quotes the part that it could not read, which may be a piece of the password: the words alone say
/// enough.
std::string without_quotations(std::string_view reason) {
  std::string text;
  bool quoted = false;
  for (const char c : reason) {
    if (c == '"') {
      quoted = !quoted;
      if (quoted) text += "\"..\"";
    } else if (!quoted) {
      text.push_back(c);
    }
  }
  return text;
}

// Each answers the length of the password that begins `before` bytes into `text`; 0 when none does.

/// After "://user:", up to the last @ before a blank: rather too much than too little.
std::size_t url_password(std::string_view text, std::size_t& before) {
  if (!text.starts_with("://")) return 0;
  const std::string_view authority = text.substr(0, std::min(text.find_first_of(" \t\r\n\""), text.size()));
  const std::size_t colon = authority.find(':', 3);
  const std::size_t at = authority.rfind('@');
  if (colon == authority.npos || at == authority.npos || at <= colon) return 0;
  before = colon + 1;
  return at - before;
}

/// After "password =", quoted as libpq reads it or up to the next blank or &.
std::size_t word_password(std::string_view text, std::size_t& before) {
  constexpr std::string_view kWord = "password";
  const auto same = [](char left, char right) {
    return std::tolower(static_cast<unsigned char>(left)) == right;
  };
  if (text.size() < kWord.size() || !std::equal(kWord.begin(), kWord.end(), text.begin(),
                                                [&](char word, char given) { return same(given, word); })) {
    return 0;
  }
  constexpr std::string_view kBlank = " \t\r\n";
  std::size_t at = text.find_first_not_of(kBlank, kWord.size());
  if (at == text.npos || text[at] != '=') return 0;
  at = text.find_first_not_of(kBlank, at + 1);
  if (at == text.npos) return 0;
  before = at;
  if (text[at] != '\'') return std::min(text.find_first_of(" \t\r\n&", at), text.size()) - at;
  for (++at; at < text.size() && text[at] != '\''; ++at) {
    if (text[at] == '\\') ++at;
  }
  return std::min(at + 1, text.size()) - before;
}

std::string redact(std::string_view text, std::size_t (*find)(std::string_view, std::size_t&)) {
  std::string out;
  while (!text.empty()) {
    std::size_t before = 0;
    if (const std::size_t secret = find(text, before); secret > 0) {
      out.append(text.substr(0, before)).append("***");
      text.remove_prefix(before + secret);
    } else {
      out.push_back(text.front());
      text.remove_prefix(1);
    }
  }
  return out;
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
    malformed("the port is not a number from 1 to 65535");
  }
}

}  // namespace

Conninfo Conninfo::parse(std::string_view text) {
  Conninfo conninfo;
  auto options = parse_conninfo(std::string(text));
  if (!options) malformed(without_quotations(options.error()));
  conninfo.options_ = std::move(*options);
  check_ports(conninfo.get("port").value_or(""));
  // libpq takes the first @ for the end of the password, and what follows for the host.
  if (conninfo.get("host").value_or("").find('@') != std::string_view::npos && !text.starts_with("host")) {
    const std::string_view host = *conninfo.get("host");
    if (!host.starts_with('@') && !host.starts_with('/'))
      malformed("an @ in the password must be written as %40");
  }
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
  // One after the other: what looks like a URL's password may stand behind a word's, and the other way round.
  return redact(redact(text, word_password), url_password);
}

}  // namespace weir::pg
