#pragma once

#include <string>

#include "support/server.h"

namespace weir::exec {
class Child;
}

namespace weir::test {

/// Debian's pgbouncer in front of the shared server, ended with the scope.
class PgBouncer {
 public:
  enum class Mode { session, transaction, statement };
  explicit PgBouncer(Mode mode);
  ~PgBouncer();
  PgBouncer(const PgBouncer&) = delete;
  PgBouncer& operator=(const PgBouncer&) = delete;

  /// Through the pooler, as the private server's superuser.
  [[nodiscard]] pg::Conninfo conninfo(const std::string& database) const;

 private:
  ScratchFolder folder_;
  int port_;
  std::unique_ptr<exec::Child> child_;
};

}  // namespace weir::test
