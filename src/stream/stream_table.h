#pragma once

#include <string>

#include "pg/session.h"
#include "stream/partition_plan.h"
#include "stream/stream_definition.h"

namespace weir::stream {

struct NewStream;

// The table of a stream that Weir makes, and its partitions.

/// Quoted, in the stream's schema.
std::string in_schema(const StreamDefinition& stream, const std::string& table);

/// The number that the transaction at hand gives its events, as SQL.
std::string own_xid(std::int64_t shift);

/// Of the constraint that add_xid_check() makes.
inline constexpr const char* kXidCheck = "weir_xid_is_not_written";

/// What a server violates that is behind the one which a dump came from: its transactions' numbers were all
/// cut already, there. The name says what to do, and comes behind the other one.
inline constexpr const char* kServerCheck = "weir_xid_is_of_another_server_run_weir_stream_rebase";

/// Of the trigger that refuses UPDATE.
inline constexpr const char* kNoUpdate = "weir_stream_is_not_updated";

/// Of the trigger that shuts a partition on its way out.
inline constexpr const char* kSeal = "weir_sealed";

/// Producers cannot write another transaction's number, by mistake or in a copy of rows: such events would
/// never be cut. Not validated, so that what a dump brings along is let in.
void add_xid_check(pg::Session& session, const StreamDefinition& stream);

/// Within the transaction at hand. Throws Error when the columns or the name cannot be.
void create_stream_table(pg::Session& session, const StreamDefinition& stream, const NewStream& wanted);

/// Within the transaction at hand. Attached, not made in place: that would lock out everybody who reads or
/// writes.
void add_partition(pg::Session& session, const StreamDefinition& stream, const Span& span);

}  // namespace weir::stream
