#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"

namespace weir::stream {

/// Which columns of the table say what. A table that was adopted has names of its own.
struct StreamColumns {
  std::string xid = "xid";  ///< the transaction that wrote the event
  std::string id = "event_id";
  std::string at = "at";
  std::optional<std::string> key = "key";
  std::optional<std::string> payload = "payload";  ///< what handlers are given; none: the whole row

  friend bool operator==(const StreamColumns&, const StreamColumns&) = default;
};

/// A row of weir.stream: the table of the events, and how it is cut and kept.
struct StreamDefinition {
  std::int32_t id = 0;
  std::string name;
  std::string schema;
  std::string table;
  StreamColumns columns;
  std::int64_t chunk_events = 1000;
  std::int64_t server_id = 0;  ///< the numbers of transactions are this server's, plus `shift`
  std::int64_t shift = 0;
  bool adopted = false;  ///< the table was there before, and its partitions are somebody else's
};

}  // namespace weir::stream
