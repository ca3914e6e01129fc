#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

namespace weir::work {

/// Finds the items that make a batch fail: first all together, then each failed part in halves, down to
/// single ones. K bad items among n cost about 2 * K * log2(n) tries. Parts come in the order of their items.
class Bisection {
 public:
  struct Range {
    std::size_t begin = 0;
    std::size_t end = 0;
    [[nodiscard]] std::size_t size() const noexcept { return end - begin; }
    friend bool operator==(const Range&, const Range&) = default;
  };

  /// After `most_bad` single failures it ends: what is bad is probably not the items.
  explicit Bisection(std::size_t items, std::size_t most_bad = 32);

  /// What to try next, together; nothing at the end.
  [[nodiscard]] std::optional<Range> next() const;
  void succeeded();
  /// True when it was a single item: that one is to blame.
  bool failed();
  /// At the end: what was not tried alone, because too many were bad.
  [[nodiscard]] const std::vector<Range>& untried() const noexcept { return todo_; }

 private:
  std::vector<Range> todo_;  // the next one last
  std::size_t bad_left_;
};

/// Whether an error of this SQLSTATE can be the fault of one item, so that the others may succeed without it.
/// A syntax error, a missing table or a full disk is not. fault_of() is wider.
bool may_be_fault_of_an_item(std::string_view sqlstate) noexcept;

}  // namespace weir::work
