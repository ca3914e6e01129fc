#pragma once

#include <weir/outcome.h>

#include "base/clock.h"

namespace weir::work {

using weir::Outcome;

}  // namespace weir::work
