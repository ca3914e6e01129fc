#pragma once

#include <cstdint>
#include <vector>

#include "pg/session.h"
#include "stream/group_definition.h"
#include "stream/group_work.h"

namespace weir::stream {

/// What was taken in one transaction, and is done with when that commits.
struct Taken {
  std::vector<GroupWork> work;
  std::size_t chunks = 0;        ///< before neighbours were joined
  std::int64_t first_chunk = 0;  ///< its number
  std::int64_t events = 0;
};

/// Takes up to `chunks` chunks of a number above `above`, the lowest first; neighbours come as one, but of no
/// more than `events` events.
Taken take_chunks(pg::Session& session, const GroupDefinition& group, std::int64_t above, std::size_t chunks,
                  std::int64_t events);
/// Events that failed before and are due.
Taken take_letters(pg::Session& session, const GroupDefinition& group, std::size_t most);

/// The same under the lease of a process: what is taken is its claim, and nobody else's. Chunks are not
/// joined, so that those which were not begun can be given back; those in `but` are left where they are.
struct ClaimName {
  std::int64_t process = 0;
  std::int64_t number = 0;
};
Taken claim_chunks(pg::Session& session, const GroupDefinition& group, ClaimName claim, std::int64_t above,
                   std::size_t chunks, const std::vector<std::int64_t>& but = {});
Taken claim_letters(pg::Session& session, const GroupDefinition& group, ClaimName claim, std::size_t most);

/// Where a group looks next. Dead rows that an old snapshot keeps are not walked each time, letters are asked
/// for now and then, and a group that fails on nearly everything gets nothing new until that is mended: its
/// letters would grow to the size of the stream. Of one thread.
class GroupLook {
 public:
  /// Whether letters come first this time.
  bool letters_are_due(bool thorough);
  /// Whether chunks may be taken at all; asks the server when letters were due.
  bool may_take_chunks(pg::Session& session, const GroupDefinition& group);
  [[nodiscard]] std::int64_t above() const noexcept { return above_; }
  /// How many chunks have about so many events: those of a stream that trickles are small.
  [[nodiscard]] std::size_t chunks_of(std::int64_t events) const noexcept;
  void took(const Taken& taken) noexcept;
  void forget() noexcept { above_ = -1; }

 private:
  std::int64_t above_ = -1;
  std::int64_t average_ = 1000;  ///< events of a chunk, of late
  SteadyTime look_below_at_{};
  bool ask_ = true;
  bool crowded_ = false;
};

}  // namespace weir::stream
