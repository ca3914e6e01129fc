#pragma once

namespace weir::cli {

/// The whole program: reads the words, runs the command, tells what went wrong, answers the exit status.
int run_program(int argc, const char* const* argv) noexcept;

}  // namespace weir::cli
