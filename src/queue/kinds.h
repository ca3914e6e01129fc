#pragma once

#include <functional>
#include <map>
#include <string>

#include "work/handler.h"

namespace weir::queue {

/// A job as a function sees it that handles one at a time.
struct JobContext {
  const work::Item& job;
  const std::stop_token& stop;
  pg::Session* session;  ///< inside of the job's transaction, in transactional mode; else null
};
using JobFunction = std::function<work::Outcome(const JobContext&)>;

/// Jobs by kind, one after the other. A kind that nobody handles goes to the dead letters at once: trying it
/// again would not help, and a crash loop helps even less.
class Kinds final : public work::Handler {
 public:
  using Functions = std::map<std::string, JobFunction, std::less<>>;

  explicit Kinds(const Functions& functions) : functions_(functions) {}

  void run(work::Batch& batch) override;

 private:
  const Functions& functions_;
};

}  // namespace weir::queue
