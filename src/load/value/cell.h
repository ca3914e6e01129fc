#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace weir::load {

/// One value as its source wrote it; nobody has looked inside yet. A view.
struct Cell {
  enum class Kind : std::uint8_t {
    null,     ///< said to be null; a JSON key that is missing is `absent`
    absent,   ///< the record has no such column: its default holds, and an update leaves it alone
    text,     ///< UTF-8
    number,   ///< digits as they were written, "1e400" and 30 digits included
    boolean,  ///< "true" or "false"
    json,     ///< an object or an array, as it was written
    bytes,    ///< as they are
  };
  Kind kind = Kind::null;
  std::string_view text{};

  [[nodiscard]] bool is_null() const noexcept { return kind == Kind::null || kind == Kind::absent; }
};

/// A record of a source. Views that live until the next one is asked for.
struct Record {
  std::span<const Cell> cells;         ///< in the order of RecordReader::columns()
  std::uint64_t line = 0;              ///< where it begins, from 1; of a query its row
  std::string_view file{};             ///< where there are several
  std::string_view raw{};              ///< as it was written, at most the first 64 KiB; for rejects
  std::string_view malformed{};        ///< why it is no record: `cells` are of no use
  std::uint32_t malformed_column = 0;  ///< counted in bytes from 1, where known
};

}  // namespace weir::load
