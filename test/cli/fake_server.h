#pragma once

#include <map>
#include <string>
#include <thread>

#include "base/unique_fd.h"

namespace weir::test {

/// Listens on 127.0.0.1 and pretends, in as much of PostgreSQL's protocol as a connection attempt sees.
class FakeServer {
 public:
  /// Lets everybody in, and reports these settings (server_version and the like).
  explicit FakeServer(std::map<std::string, std::string> settings);
  /// Takes connections and never says a word.
  struct Silent {};
  explicit FakeServer(Silent /*silent*/) : FakeServer(std::map<std::string, std::string>()) {}

  [[nodiscard]] std::string url() const;
  [[nodiscard]] int port() const noexcept { return port_; }

 private:
  void serve(const std::stop_token& stop);

  std::map<std::string, std::string> settings_;
  UniqueFd listener_;
  int port_ = 0;
  std::jthread thread_;
};

}  // namespace weir::test
