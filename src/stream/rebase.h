#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "pg/session.h"
#include "stream/stream_definition.h"

namespace weir::stream {

struct RebaseReport {
  std::int64_t events = 0;  ///< that were not cut on the server before
  std::int64_t shift = 0;
  std::int64_t renumbered = 0;  ///< that were written here before it was taken over
};

/// Takes a stream over that a dump, or an upgrade, brought to this server: what was not cut there is cut as a
/// whole, and from now on this server's transactions count from behind the last one of the other. Shuts
/// everybody out of the stream for as long as that takes, and waits for those who are in it for at most
/// `patience`. Throws Error when the stream is this server's already.
RebaseReport rebase_stream(pg::Session& session, const StreamDefinition& stream, Duration patience);

/// SQL that is true of a row which was written here after a dump had been restored by the transaction
/// `restored_by`: `header` is its xmin, and `own` the number in it as a transaction of this server. These
/// have 32 bits and begin anew: what comes after what is a question of less than half of them.
std::string written_since(std::string_view restored_by, std::string_view header, std::string_view own);

}  // namespace weir::stream
