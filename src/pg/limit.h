#pragma once

#include <stop_token>

#include "base/deadline.h"

namespace weir::pg {

/// How long one call may wait, and what ends it early. Every call that can block takes one.
struct Limit {
  Deadline deadline = Deadline::never();
  std::stop_token stop{};

  static Limit within(Duration span, std::stop_token stop = {}) {
    return {Deadline::after(span), std::move(stop)};
  }
};

}  // namespace weir::pg
