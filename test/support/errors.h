#pragma once

#include <string_view>

#include <gtest/gtest.h>

#include "base/error.h"

namespace weir::test {

/// Begins in lower case, except with a name or a path, and does not end with a period.
inline bool has_message_style(std::string_view text) {
  if (text.empty() || text.back() == '.') return false;
  if (text.starts_with("Weir ") || text.starts_with("PostgreSQL ") || text.starts_with("WEIR_")) return true;
  return text.front() < 'A' || text.front() > 'Z';
}

/// The Error that `action` throws: its exit code, message and remedy. One with ExitCode::ok if it throws
/// none.
template <class Action>
Error error_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_TRUE(has_message_style(error.what())) << error.what();
    return error;
  }
  return Error(ExitCode::ok, "nothing was thrown");
}

inline bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace weir::test
