#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "base/service.h"

namespace weir::test {

/// Tries the whole contract of src/base/service.h on a service: every one in the tree goes through it.
/// `make` answers a new one that has not been started.
void expect_service_contract(const std::function<std::unique_ptr<Service>()>& make);

/// The part about a start that fails, for services that can be made to: start() throws as long as `fails`.
void expect_start_failure_contract(
    const std::function<std::unique_ptr<Service>(const std::atomic<bool>& fails)>& make);

}  // namespace weir::test
