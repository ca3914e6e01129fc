#pragma once

#include "pg/session.h"
#include "stream/stream_definition.h"

namespace weir::stream {

/// What somebody has to be allowed to do with the table of a stream.
enum class Rights { none, read, own };

/// Throws Error when the table is gone; else, with who may or the GRANT, when the session's user may not.
void require_rights(pg::Session& session, const StreamDefinition& stream, Rights rights);

}  // namespace weir::stream
