#pragma once

#include <functional>
#include <span>
#include <vector>

#include "pg/transaction.h"
#include "queue/job_claim.h"
#include "work/handler.h"

namespace weir::queue {

/// Runs a handler on jobs that were taken in this transaction and answers their outcomes. What failing jobs
/// wrote is undone, and what the others wrote stands: first all together, then, if something failed, in
/// parts; large payloads are in
/// memory a bounded number of bytes at a time. Throws when the whole transaction has to be given up: the
/// session is lost, or the fault is nobody's own.
/// `given_up`: work::TransactionParts::Options.
std::vector<work::Outcome> run_taken(pg::Session& session, work::Handler& handler, JobClaim& claim,
                                     const std::stop_token& stop,
                                     std::function<void(std::span<const work::Item>)> given_up);

}  // namespace weir::queue
