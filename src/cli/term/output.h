#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "cli/term/paint.h"

namespace weir::cli {

/// Standard output of a command: its result, and nothing else. A reader that went away (`| head -0`) is no
/// failure: the rest is dropped. Any other failure to write throws, so that no script takes half a document
/// for a whole one.
class Output {
 public:
  Output(int fd, bool color) noexcept : paint_(color), fd_(fd) {}

  /// As it is; the caller ends lines.
  void write(std::string_view text);
  void line(std::string_view text);
  /// One document, indented for people who look at it, keys in the order in which they were set.
  void json(const nlohmann::ordered_json& document);
  /// One object on a line of its own, for streams of events.
  void json_line(const nlohmann::ordered_json& event);

  [[nodiscard]] const Paint& paint() const noexcept { return paint_; }

 private:
  Paint paint_;
  int fd_;
  bool reader_gone_ = false;
};

}  // namespace weir::cli
