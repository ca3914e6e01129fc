#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "pg/connector.h"

namespace weir::pg {

/// A database that is gone at the end of the scope, also after a stop: what a demo shows is nobody's. What a
/// killed program left behind is dropped by the next one.
class ScratchDatabase {
 public:
  /// `server` names any database of it; the user may create others. `prefix`: a plain word.
  ScratchDatabase(const Conninfo& server, const std::string& prefix, const std::stop_token& stop);
  ~ScratchDatabase();
  ScratchDatabase(const ScratchDatabase&) = delete;
  ScratchDatabase& operator=(const ScratchDatabase&) = delete;

  [[nodiscard]] Conninfo conninfo() const;

 private:
  Connector server_;
  std::string name_;
};

}  // namespace weir::pg
