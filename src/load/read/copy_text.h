#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::load {

/// Takes apart rows as COPY .. TO STDOUT writes them in its text form.
class CopyTextRow {
 public:
  /// A row with or without its line's end. The fields live until the next row, and no longer than `line`.
  void read(std::string_view line);
  /// Nothing for NULL.
  [[nodiscard]] const std::vector<std::optional<std::string_view>>& fields() const noexcept {
    return fields_;
  }

 private:
  void add(std::string_view field);

  std::vector<std::optional<std::string_view>> fields_;
  std::string unescaped_;
};

}  // namespace weir::load
