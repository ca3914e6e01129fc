#pragma once

#include <algorithm>

#include "stream/chunk.h"

namespace weir::stream {

/// Of a query's row with the columns of weir.stream_chunk, and from when on the group wants it.
template <class Row>
Chunk chunk_of(const Row& row) {
  Chunk chunk{.number = row.number,
              .from = row.from_xid,
              .to = row.to_xid,
              .open = row.open,
              .late = row.late,
              .slice = {},
              .events = row.events,
              .first_at = row.first_at,
              .last_at = row.last_at};
  if (row.last_event)
    chunk.slice = Chunk::Slice{.after = row.after_event.value_or(0), .last = *row.last_event};
  if (row.since) chunk.first_at = std::max(chunk.first_at, *row.since);
  return chunk;
}

}  // namespace weir::stream
