#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/log.h"
#include "cli/term/terminal.h"

namespace weir::cli {

/// What every command understands.
struct GlobalOptions {
  std::filesystem::path project = ".";
  std::optional<std::string> database_url;  ///< --database-url
  bool json = false;
  bool quiet = false;
  ColorChoice color = ColorChoice::automatic;
  log::Level log_level = log::Level::info;
  log::Format log_format = log::Format::human;
};

}  // namespace weir::cli
