#pragma once

#include <span>
#include <string_view>

#include "cli/command.h"

namespace weir::cli {

/// What the user asked for.
struct Invocation {
  const Command* command = nullptr;  ///< null only with `help`
  std::string_view group;            ///< whose help is wanted when there is no command; empty: the overview
  bool help = false;
  GlobalOptions global;
  Arguments arguments;
};

/// The options that every command has.
std::span<const OptionSpec> global_options() noexcept;

/// Reads the words behind the program's name. Options may stand anywhere behind the command they belong to,
/// global ones also in front of it. Throws the usage error, with what the user probably meant.
Invocation parse(const Registry& registry, std::span<const std::string_view> words);

/// Whether --json is among the words: an error in reading them has to be told in the form that was asked for.
bool wants_json(std::span<const std::string_view> words) noexcept;

/// Whether standard output is a Singer tap's states: who runs the tap takes the last line of it for one, so
/// that errors have no place there.
bool tells_states(std::span<const std::string_view> words) noexcept;

}  // namespace weir::cli
