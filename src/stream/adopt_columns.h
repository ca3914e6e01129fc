#pragma once

#include "stream/adopt_facts.h"
#include "stream/stream_definition.h"

namespace weir::stream {

/// Throws Error, with what to do about it, where the table cannot be a stream whatever its columns are. Pure.
void require_adoptable(const AdoptFacts& table, const AdoptRequest& request);

/// Which of its columns say what: those that were named, else the only ones that can be meant. Throws Error
/// with the candidates. Pure.
StreamColumns adopted_columns(const AdoptFacts& table, const AdoptRequest& request);

}  // namespace weir::stream
