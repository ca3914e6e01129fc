#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "exec/user.h"

namespace weir::embedded {

constexpr int kOldestMajor = 14;

struct Version {
  int major = 0;
  std::string text;  ///< "15.20", "18beta1"
};

/// From what `postgres --version` prints; nothing when it is not that.
std::optional<Version> parse_version(std::string_view output);

/// A folder with `postgres` and `initdb`.
struct Binaries {
  std::filesystem::path folder;
  std::string found_by;  ///< "WEIR_PG_BIN", "PATH", "/usr/lib/postgresql"
  Version version;
};

/// The first candidate that fits: of the data's major version, or without data any that is not too old.
const Binaries* choose_binaries(std::span<const Binaries> candidates, std::optional<int> data_major);

/// Why none of them fits, as the error for the user. `searched` lists the places in words.
[[noreturn]] void throw_no_binaries(std::span<const Binaries> candidates, std::optional<int> data_major,
                                    const std::filesystem::path& data, const std::string& searched);

struct BinarySearch {
  std::optional<std::filesystem::path> wanted;  ///< the value of WEIR_PG_BIN: this folder or none
  std::string path;                             ///< the value of PATH
  std::filesystem::path versioned = "/usr/lib/postgresql";
  std::filesystem::path data;        ///< named in messages
  std::optional<int> data_major;     ///< nothing when there is no data yet
  std::optional<exec::User> run_as;  ///< who has to be able to execute them
};

/// Throws an Error that says what was searched and what to install.
Binaries find_binaries(const BinarySearch& search, Deadline deadline, const std::stop_token& stop);

}  // namespace weir::embedded
