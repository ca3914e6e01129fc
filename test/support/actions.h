#pragma once

#include <exception>
#include <thread>

#include <gtest/gtest.h>

#include "base/error.h"

namespace weir::test {

/// A thread whose exceptions fail the test instead of ending the program.
template <class Action>
std::jthread in_background(Action action) {
  return std::jthread([action] {
    try {
      action();
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
  });
}

/// The error that `action` throws; an empty one (ExitCode::ok) when there was none.
template <class Action>
Error failure_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  return {ExitCode::ok, ""};
}

}  // namespace weir::test
