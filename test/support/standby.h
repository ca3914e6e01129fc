#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "pg/connector.h"
#include "support/server.h"

namespace weir::exec {
class Child;
}

namespace weir::test {

/// A standby of a test's own server, made by pg_basebackup: it replays what the server writes, is read
/// meanwhile, and takes its place when it is promoted. Ended with the scope, which is within the server's.
class Standby {
 public:
  explicit Standby(const TestServer& primary);
  ~Standby();
  Standby(const Standby&) = delete;
  Standby& operator=(const Standby&) = delete;

  /// Until it has replayed all that had ended on the primary before.
  void catch_up();
  /// Nothing of the primary reaches it any more.
  void cut_off();
  /// It takes writes when this returns. The primary is gone, or it was cut off.
  void promote();

  [[nodiscard]] pg::Conninfo conninfo() const;
  /// For whoever goes to the one of the two that takes writes.
  [[nodiscard]] pg::Conninfo either() const;

 private:
  void copy(const TestServer& primary, const std::filesystem::path& programs);
  void start(const TestServer& primary, const std::filesystem::path& programs);
  /// Also while it takes no writes.
  [[nodiscard]] pg::Session look() const;

  const pg::Conninfo primary_;
  ScratchFolder folder_;
  std::filesystem::path home_;  ///< of the server's user: its data and its socket
  std::unique_ptr<exec::Child> server_;
};

}  // namespace weir::test
