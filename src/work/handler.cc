#include "work/handler.h"

namespace weir::work {

bool Batch::settle(std::size_t index, Outcome outcome) {
  Outcome& place = outcomes_.at(index);
  if (!place.is_open() || outcome.is_open()) return false;
  place = std::move(outcome);
  ++settled_;
  return true;
}

void Batch::settle_rest(const Outcome& outcome) {
  for (std::size_t i = 0; i < outcomes_.size(); ++i) settle(i, outcome);
}

}  // namespace weir::work
