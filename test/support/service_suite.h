#pragma once

#include <functional>
#include <memory>

#include "base/service.h"

namespace weir::test {

/// Tries the whole contract of src/base/service.h on a service: every one in the tree goes through it.
/// `make` answers a new one that has not been started.
void expect_service_contract(const std::function<std::unique_ptr<Service>()>& make);

}  // namespace weir::test
