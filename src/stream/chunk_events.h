#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pg/result.h"
#include "pg/session.h"
#include "stream/group_work.h"
#include "stream/stream_definition.h"
#include "stream/stream_sql.h"
#include "work/handler.h"

namespace weir::stream {

/// The events at hand as items, a chunk's in the order of their ids within their transactions. The kind of an
/// item is its event's key. Large payloads are read when their turn comes, so that memory is bounded by the
/// number of events and not by what is in them.
class ChunkEvents {
 public:
  /// With `most` the first ones only.
  ChunkEvents(pg::Session& session, const StreamDefinition& stream, const StreamSql& sql,
              const GroupWork& work, int max_attempts, std::optional<std::size_t> most = std::nullopt);
  ChunkEvents(const ChunkEvents&) = delete;
  ChunkEvents& operator=(const ChunkEvents&) = delete;
  ~ChunkEvents() = default;

  [[nodiscard]] std::span<const work::Item> items() const noexcept { return items_; }
  /// See GroupWork.
  [[nodiscard]] std::int64_t number(std::size_t index) const noexcept { return numbers_[index]; }
  /// Of the work of a lane.
  [[nodiscard]] Place place(std::size_t index) const noexcept { return {xids_[index], numbers_[index]}; }
  [[nodiscard]] bool is_heavy(std::size_t index) const noexcept { return heavy_[index]; }
  void load(std::size_t index, pg::Session& session);
  void unload(std::size_t index) noexcept;

 private:
  const StreamSql& sql_;
  GroupWork work_;
  pg::Result answer_;
  std::vector<work::Item> items_;
  std::vector<std::int64_t> numbers_;
  std::vector<Xid> xids_;  ///< of the work of a lane
  std::vector<bool> heavy_;
  std::vector<std::string>
      loaded_;  ///< large payloads by index; each is touched by the slot that has the event
};

}  // namespace weir::stream
