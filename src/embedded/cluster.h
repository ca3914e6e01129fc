#pragma once

#include <map>
#include <optional>
#include <stop_token>
#include <string>

#include "base/deadline.h"
#include "embedded/binaries.h"
#include "embedded/site.h"

namespace weir::embedded {

/// The superuser and the database that every private server has.
constexpr const char* kName = "weir";

/// The major version the data folder was made by; nothing when there is none yet. Throws when the folder
/// holds something else.
std::optional<int> data_major(const std::filesystem::path& data);

/// initdb and the database, made beside the data folder and put into place as the last step: a data folder is
/// complete or does not exist. On failure nothing is left behind.
void make_cluster(const Site& site, const Binaries& binaries, bool durable, Deadline deadline,
                  const std::stop_token& stop);

/// For all programs of the server: no setting of the user's client (PGPORT, PGDATA, ..) and messages in
/// English.
std::map<std::string, std::optional<std::string>> server_environment();

/// Of the superuser, for TCP.
std::string read_password(const Site& site);

}  // namespace weir::embedded
