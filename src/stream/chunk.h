#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "stream/horizon.h"

namespace weir::stream {

/// Some of a stream's events, for good: every transaction in it has ended. Each event is in exactly one chunk
/// of its stream. Either the events of all transactions in [from, to) but for `open`, and of those in `late`;
/// or a slice of one large transaction, `from`, by ids of events.
struct Chunk {
  struct Slice {
    std::int64_t after = 0;  ///< ids above this one
    std::int64_t last = 0;   ///< up to this one
  };

  std::int64_t number = 0;
  Xid from = 0;
  Xid to = 0;
  std::vector<Xid> open;
  std::vector<Xid> late;
  std::optional<Slice> slice;
  std::int64_t events = 0;
  /// The times its events bear: what is read of a partitioned table.
  WallTime first_at{};
  WallTime last_at{};
};

/// What one transaction wrote into a stream.
struct Written {
  Xid xid = 0;
  std::int64_t events = 0;
  WallTime first_at{};
  WallTime last_at{};
};

/// A piece of one that wrote more than a chunk holds: up to an id of an event, and from where the piece
/// before ends.
struct Piece {
  std::int64_t last = 0;
  std::int64_t events = 0;
  WallTime first_at{};
  WallTime last_at{};
};

/// The pieces of a transaction that is too large for one chunk, by ids of events, ascending.
using CutUp = std::function<std::vector<Piece>(const Written& large)>;

/// Divides what ended into chunks of about `size` events, without numbers yet. Small transactions are put
/// together, and what wrote more than twice the size is cut up. `late` and `written`, by xid and ascending,
/// are those of `ended` that wrote anything. Together the chunks cover all of `ended`, so that neighbours can
/// be read as one. Pure, but for what `cut_up` asks.
std::vector<Chunk> plan_chunks(const Ended& ended, const std::vector<Written>& late,
                               const std::vector<Written>& written, std::int64_t size, const CutUp& cut_up);

/// Both as one, where they can be read as one: neighbours of transactions, or neighbouring slices of one.
std::optional<Chunk> joined(const Chunk& first, const Chunk& second);

}  // namespace weir::stream
