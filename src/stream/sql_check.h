#pragma once

#include <string>

#include "pg/session.h"
#include "stream/stream_definition.h"

namespace weir::stream {

/// Runs SQL of the user on a chunk without events, and undoes it: what the server finds wrong with the text
/// itself, such as a column that is not there, is a definition error with its place. Else every event would
/// be tried and fail on it. What only an event could be to blame for is let pass.
void check_chunk_sql(pg::Session& session, const StreamDefinition& stream, const std::string& sql,
                     const std::string& search_path);

}  // namespace weir::stream
