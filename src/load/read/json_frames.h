#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "load/read/byte_source.h"

namespace weir::load {

/// Readable bytes behind each text, whose content does not matter: simdjson reads in large steps.
inline constexpr std::size_t kJsonPadding = 64;

enum class JsonShape : std::uint8_t {
  automatic,  ///< an array where the first character is '[', lines otherwise
  lines,      ///< a value on each line
  array,      ///< one array whose elements are the values
};

struct JsonFrame {
  std::string_view text;     ///< with kJsonPadding behind it; until the next one
  std::uint64_t line = 0;    ///< where it begins, from 1
  std::uint64_t column = 0;  ///< in bytes from 1
  std::string_view
      broken{};  ///< why it is no value before anyone looks inside; of a long one `text` is the head
};

/// Cuts bytes into the texts of values and looks at no more of them than that takes. A text that is longer
/// than the limit is passed over, so that memory stays bounded.
class JsonFrames {
 public:
  /// `name` is for messages.
  JsonFrames(std::unique_ptr<ByteSource> source, JsonShape shape, std::size_t max_bytes,
             const std::string& name = {});

  /// Empty lines do not count as texts. Throws where an array has no end: the input broke off.
  std::optional<JsonFrame> next();
  [[nodiscard]] ReadProgress progress() const { return source_->progress(); }

 private:
  void begin();
  std::optional<JsonFrame> next_line();
  std::optional<JsonFrame> next_element();
  std::optional<JsonFrame> cut_line(std::size_t end);
  [[nodiscard]] JsonFrame cut(std::size_t end) const;
  JsonFrame cut_long();
  JsonFrame cut_tail();
  /// Where the element that began at begin_ ends, once that is in the buffer.
  std::optional<std::size_t> scan_element();
  bool skip_space();
  void pass(std::size_t to);
  /// More bytes behind those that are there; false at the end of the input.
  bool fill();
  /// The text at begin_ is beyond the limit: its head is kept.
  void start_long(std::size_t until);
  void keep_bounded();

  std::unique_ptr<ByteSource> source_;
  JsonShape shape_;
  std::size_t max_bytes_;
  std::string long_message_;
  std::string place_;  // before messages
  std::unique_ptr<char[]> buffer_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;  // of the text that comes next
  std::size_t scan_ = 0;   // what is before it was looked at
  std::size_t end_ = 0;
  bool at_end_ = false;
  bool begun_ = false;

  std::uint64_t line_ = 1;
  std::uint64_t column_ = 1;  // of begin_

  // of an array
  std::size_t depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
  bool first_ = true;
  bool torn_ = false;  // the element ended at a line's end inside a string: no comma follows
  bool closed_ = false;

  // of a text beyond the limit
  bool long_ = false;
  std::string head_;
  std::uint64_t head_line_ = 0;
  std::uint64_t head_column_ = 0;
};

}  // namespace weir::load
