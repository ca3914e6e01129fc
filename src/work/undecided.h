#pragma once

#include <optional>
#include <string>

#include "pg/session.h"

namespace weir::work {

/// Those who may have missed that somebody lies down to sleep: whoever was in a transaction just then. They
/// tell him nothing, so he looks until they have ended. models/wakeup.pml: `bound`.
class Undecided {
 public:
  /// When the marks of the sleeper are there, which by now whoever comes sees. In a statement of its own: the
  /// id that it asks for has to be younger than they are.
  void begin(pg::Session& session);
  /// Whether all of them have ended: a look that begins after this sees what they wrote. Once true it stays.
  [[nodiscard]] bool decided(pg::Session& session);

 private:
  std::optional<std::string> from_;  // by the id of a transaction
};

}  // namespace weir::work
