#pragma once

#include <cstdint>

#include "pg/session.h"
#include "stream/horizon.h"
#include "stream/stream_definition.h"
#include "stream/stream_sql.h"

namespace weir::stream {

struct CutReport {
  std::int64_t events = 0;
  std::int64_t chunks = 0;
  bool more = false;  ///< there was more than one cut takes
};

/// Up to where a stream was cut.
struct LastCut {
  std::int64_t number = 0;
  Horizon horizon;
};
LastCut last_cut(pg::Session& session, const StreamDefinition& stream);

/// Cuts what ended between the last cut and `now`, which is behind it, within the transaction at hand.
CutReport cut_until(pg::Session& session, const StreamDefinition& stream, const StreamSql& sql,
                    const LastCut& before, Horizon now);

/// Cuts what was committed to the stream since the last cut into chunks, and puts them before its groups, in
/// a transaction of its own. Any number may try at once: one of them does it, the others fail on the cut's
/// number (is_cut_conflict). What is not committed is left for a later cut, however long it takes, and holds
/// nothing else up.
CutReport cut(pg::Session& session, const StreamDefinition& stream, const StreamSql& sql);

/// Makes one of neighbouring small chunks that every group is done with, a bounded number of them: those
/// above `up_to`, which goes on with each call and begins anew at the end.
void merge_chunks(pg::Session& session, const StreamDefinition& stream, std::int64_t& up_to);

/// Somebody else cut at the same time.
bool is_cut_conflict(const pg::Error& error) noexcept;

}  // namespace weir::stream
