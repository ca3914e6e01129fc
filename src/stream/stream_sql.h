#pragma once

#include <string>
#include <string_view>

#include "stream/group_work.h"
#include "stream/stream_definition.h"

namespace weir::stream {

/// The statements on a stream's own table. Pure. Those that read a chunk are planned for its bounds, so that
/// only the partitions which hold it are touched: a statement for all partitions locks every one of them, and
/// a server process has 16 fast places for locks.
class StreamSql {
 public:
  explicit StreamSql(const StreamDefinition& stream);

  /// Who wrote how much: Written by xid. Parameters: from, to, open xids, the most rows.
  [[nodiscard]] const std::string& written() const noexcept { return written_; }
  /// The same of single transactions. Parameter: xids.
  [[nodiscard]] const std::string& written_late() const noexcept { return written_late_; }
  /// Pieces of one transaction. Parameters: xid, events in a piece.
  [[nodiscard]] const std::string& pieces() const noexcept { return pieces_; }

  /// Whether a partition has events that no cut has had. Parameters: the end of the last cut, what was open.
  [[nodiscard]] std::string has_uncut(std::string_view table) const;

  /// The number of an event of this work, see GroupWork.
  [[nodiscard]] const std::string& number_of(const GroupWork& work) const noexcept;
  /// Expressions on events `e`. A chunk's bounds are constants in the text, so that it is planned for them.
  [[nodiscard]] std::string select(const GroupWork& work, std::string_view expressions) const;
  /// Makes letters of some of a chunk's events. Parameters: the group, ids of events, attempts, delays in
  /// milliseconds (null: dead), errors.
  [[nodiscard]] std::string add_letters(const Chunk& chunk) const;
  /// The temporary view weir_chunk: the events of the work that the settings of the transaction say.
  [[nodiscard]] const std::string& view() const noexcept { return view_; }
  /// The same for lanes: of a chunk, only the events of a lane between two places.
  [[nodiscard]] const std::string& lane_view() const noexcept { return lane_view_; }

  /// The lane of an event with this key, of so many: by the bytes of the key, whatever its collation. One
  /// without a key is of the lane of the empty one. weir.stream_lane_text() says the same.
  [[nodiscard]] static std::string lane_of(std::string_view key, std::string_view lanes);

  // Columns of an event `e`; NULL::text where there is no key.
  [[nodiscard]] const std::string& id() const noexcept { return id_; }
  [[nodiscard]] const std::string& at() const noexcept { return at_; }
  [[nodiscard]] const std::string& key() const noexcept { return key_; }
  [[nodiscard]] const std::string& payload() const noexcept { return payload_; }
  [[nodiscard]] const std::string& xid() const noexcept { return xid_; }
  [[nodiscard]] const std::string& table() const noexcept { return table_; }

 private:
  /// Letters as rows `e` of the table.
  [[nodiscard]] std::string letters_as_events() const;
  [[nodiscard]] std::string lane_part(const GroupWork& work) const;
  [[nodiscard]] std::string view_of_chunk(const std::string& more) const;

  std::string table_, xid_, id_, at_, key_, payload_;
  std::string letter_ = "l.id";
  std::string written_, written_late_, pieces_, view_, lane_view_;
};

}  // namespace weir::stream
