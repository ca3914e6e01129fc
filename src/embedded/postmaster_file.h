#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <sys/types.h>

namespace weir::embedded {

/// What a running server writes into its postmaster.pid. It writes line by line, so the later ones may be
/// missing.
struct PostmasterFile {
  pid_t pid = 0;
  std::int64_t started = 0;  ///< seconds since 1970
  int port = 0;
  std::string socket_folder;
  std::string listen_address;  ///< empty without TCP
  std::string status;          ///< "starting", "ready", "stopping", "standby"; empty before the first of them

  [[nodiscard]] bool ready() const { return status == "ready"; }
};

/// Nothing when the first line is no process id.
std::optional<PostmasterFile> parse_postmaster_file(std::string_view text);

/// The same text with a process id that no process can have. With its old id, which by now may be anybody's,
/// the server would refuse to start; without the file it would lose the shared memory key by which it sees
/// that processes of the crashed server still write.
std::string without_process(std::string_view text);

}  // namespace weir::embedded
