#pragma once

#include <weir/error.h>

namespace weir {

/// Throws what errno says of a system call that cannot fail on a healthy machine (eventfd, poll, fork).
[[noreturn]] void throw_errno(const char* call);

}  // namespace weir
