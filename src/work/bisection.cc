#include "work/bisection.h"

#include <algorithm>
#include <array>

namespace weir::work {

Bisection::Bisection(std::size_t items, std::size_t most_bad) : bad_left_(most_bad) {
  if (items > 0) todo_.push_back({0, items});
}

std::optional<Bisection::Range> Bisection::next() const {
  if (todo_.empty() || bad_left_ == 0) return std::nullopt;
  return todo_.back();
}

void Bisection::succeeded() { todo_.pop_back(); }

bool Bisection::failed() {
  const Range range = todo_.back();
  todo_.pop_back();
  if (range.size() == 1) {
    --bad_left_;
    return true;
  }
  const std::size_t middle = range.begin + range.size() / 2;
  todo_.push_back({middle, range.end});
  todo_.push_back({range.begin, middle});
  return false;
}

bool may_be_fault_of_an_item(std::string_view sqlstate) noexcept {
  // Cardinality, data, constraints, routines and their exceptions, views with a check, limits such as an
  // index row's size, RAISE and ASSERT.
  constexpr std::array<std::string_view, 8> kClasses{"21", "22", "23", "38", "39", "44", "54", "P0"};
  return std::find(kClasses.begin(), kClasses.end(), sqlstate.substr(0, 2)) != kClasses.end();
}

}  // namespace weir::work
