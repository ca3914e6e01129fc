#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "cli/command.h"
#include "cli/database.h"

namespace weir::cli {

/// What `weir db status` knows. Fields that do not apply are empty: a server that is not ours has no data
/// folder that we know of, and one that is stopped has no schema that we can see.
struct DatabaseStatus {
  struct Schema {
    std::string state;
    int applied = 0;
    int known = 0;
  };
  std::string source;  ///< "private", "DATABASE_URL", "--database-url"
  std::string state;   ///< absent, stopped, starting, running, unresponsive
  std::optional<int> pid;
  std::string version;
  std::string url;  ///< without the password
  std::filesystem::path data_dir;
  std::filesystem::path socket_dir;
  std::filesystem::path log;  ///< the folder with the server's logs
  std::optional<int> port;    ///< on which the private server listens on 127.0.0.1
  std::optional<bool> kept;
  std::optional<bool> standby;
  std::optional<std::uint64_t> bytes;
  std::optional<Schema> schema;
  std::vector<std::string> notices;
};

/// Looks, and changes nothing. Connects only to a server that runs.
DatabaseStatus look_at_database(const Context& context, const DatabaseChoice& choice);

nlohmann::ordered_json to_json(const DatabaseStatus& status);
std::string to_text(const DatabaseStatus& status, const Paint& paint);

/// `psql '<url>'`, to be pasted into a shell.
std::string psql_command(const std::string& url);

}  // namespace weir::cli
