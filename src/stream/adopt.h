#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "pg/limit.h"
#include "pg/session.h"
#include "stream/adopt_facts.h"
#include "stream/adopt_plan.h"
#include "stream/stream_definition.h"

namespace weir::stream {

/// What is to be done to make a stream of a table.
struct Adoption {
  AdoptRequest request;
  AdoptFacts table;
  StreamColumns columns;
  std::vector<AdoptStep> steps;
};

/// Changes nothing. Throws Error, with what to do about it, where the table cannot be a stream.
Adoption plan_adoption(pg::Session& session, const AdoptRequest& request);

struct AdoptOptions {
  /// Others wait behind a lock that waits: so it waits shortly, and steps back.
  Duration lock_timeout = std::chrono::milliseconds(500);
  /// For the locks of one step; a build waits for as long as it takes.
  Duration patience = std::chrono::minutes(2);
  std::stop_token stop{};
  std::function<void(const AdoptStep&)> on_step{};
  std::function<void(const AdoptStep&, int attempt)> on_retry{};
};

struct AdoptReport {
  StreamDefinition stream;
  std::int64_t events = 0;  ///< that were there
  std::int64_t chunks = 0;
};

/// Does what is missing, whatever an earlier call has done of it. See adopt_plan.h for why it is exact. The
/// session keeps its state, and is used by nobody else.
AdoptReport adopt_stream(pg::Session& session, const AdoptRequest& request, const AdoptOptions& options = {});

}  // namespace weir::stream
