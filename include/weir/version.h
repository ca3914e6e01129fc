#pragma once

#include <string_view>

namespace weir {

/// The version of the library that is linked, e.g. "0.1.0".
[[nodiscard]] std::string_view version() noexcept;

/// The commit that it was built from (12 hex digits), or "" when it was built outside a git checkout.
[[nodiscard]] std::string_view commit() noexcept;

}  // namespace weir
