#include "queue/kinds.h"

#include <exception>

namespace weir::queue {
namespace {

work::Outcome call(const JobFunction& function, const JobContext& context) {
  try {
    return function(context);
  } catch (const std::exception& error) {
    // In a transaction a failed statement fails the rest of it too: that is for whoever owns the transaction.
    if (context.session != nullptr) throw;
    return work::Outcome::failed(error.what());
  } catch (...) {
    if (context.session != nullptr) throw;
    return work::Outcome::failed("the handler threw something that is no exception");
  }
}

}  // namespace

void Kinds::run(work::Batch& batch) {
  const auto items = batch.items();
  for (std::size_t i = 0; i < items.size() && !batch.stop().stop_requested(); ++i) {
    const auto found = functions_.find(items[i].kind);
    if (found == functions_.end()) {
      batch.settle(
          i, work::Outcome::discarded("no handler for jobs of kind \"" + std::string(items[i].kind) + "\""));
      continue;
    }
    work::Outcome outcome = call(found->second, {items[i], batch.stop(), batch.session()});
    const bool done = outcome.is_done();
    // Open: the function saw the stop and left off.
    if (!outcome.is_open()) batch.settle(i, std::move(outcome));
    // Whoever owns the transaction undoes the batch and has its jobs run again one by one. To go on would
    // meet the statement that failed.
    if (!done && batch.session() != nullptr) return;
  }
}

}  // namespace weir::queue
