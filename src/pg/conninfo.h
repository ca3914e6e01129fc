#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::pg {

using ConninfoOptions = std::vector<std::pair<std::string, std::string>>;

/// A parsed connection string: a URL or `key=value` words, as libpq defines them.
class Conninfo {
 public:
  /// Throws weir::Error (usage) that says what is wrong with it, never with its password.
  static Conninfo parse(std::string_view text);

  [[nodiscard]] std::optional<std::string_view> get(std::string_view key) const noexcept;
  Conninfo& set(std::string_view key, std::string_view value);
  /// Sets it only where the connection string says nothing.
  Conninfo& set_default(std::string_view key, std::string_view value);
  [[nodiscard]] const ConninfoOptions& options() const noexcept { return options_; }

  /// A URL that psql and every driver understand, password included.
  [[nodiscard]] std::string url() const;
  /// The same for people and logs: without the password, and without settings such as keepalives.
  [[nodiscard]] std::string display() const;

 private:
  [[nodiscard]] std::string to_url(bool complete) const;

  ConninfoOptions options_;
};

/// `text` with what stands where a URL or a keyword string carries its password taken out; for messages of
/// others.
std::string redact_password(std::string_view text);

}  // namespace weir::pg
