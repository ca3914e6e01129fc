#include "library/job.h"

#include "base/error.h"
#include "base/text.h"
#include "library/sql_state.h"
#include "pg/error.h"
#include "queue/job_check.h"

namespace weir {
namespace {

/// Reasons may hold anything, such as bytes of a file that was no text.
std::string storable(const std::string& reason) {
  const bool good = !find_invalid_utf8(reason) && reason.find('\0') == std::string::npos;
  return good ? reason : printable(reason);
}

Outcome checked(Outcome outcome, Job::State& state) {
  switch (outcome.kind()) {
    case Outcome::Kind::done: break;
    case Outcome::Kind::failed: return Outcome::failed(storable(outcome.text()));
    case Outcome::Kind::retry: return Outcome::retry(outcome.delay(), storable(outcome.text()));
    case Outcome::Kind::discarded: return Outcome::discarded(storable(outcome.text()));
    case Outcome::Kind::open:
    case Outcome::Kind::snoozed:
    case Outcome::Kind::returned: return outcome;
  }
  // It caught the error and went on, in a transaction that cannot commit any more.
  if (state.sql && !state.sql->state().failure.empty())
    return Outcome::failed("a statement of its transaction failed: " + state.sql->state().failure);
  std::string result(outcome.text().empty() ? state.result : outcome.text());
  if (result.empty()) return outcome;
  if (const auto fault = queue::find_payload_fault(result))
    return Outcome::failed("the result cannot be stored as jsonb: " + *fault);
  return Outcome::done(std::move(result));
}

}  // namespace

std::int64_t Job::id() const noexcept { return state_.context.job.id; }
std::string_view Job::queue() const noexcept { return state_.context.job.source; }
std::string_view Job::kind() const noexcept { return state_.context.job.kind; }
std::string_view Job::payload() const noexcept { return state_.context.job.payload; }
int Job::attempt() const noexcept { return state_.context.job.attempt; }
int Job::max_attempts() const noexcept { return state_.context.job.max_attempts; }
std::string_view Job::last_error() const noexcept { return state_.context.job.error; }
const std::stop_token& Job::stop() const noexcept { return state_.context.stop; }

void Job::progress(double share, std::string_view note) { state_.progress.report(id(), share, note); }
void Job::result(std::string json) { state_.result = std::move(json); }

Sql& Job::transaction() {
  if (state_.context.session == nullptr) {
    throw Error(ExitCode::usage, "a leased job has no transaction",
                "make the worker with .delivery = weir::Delivery::transactional, or use a client of its own");
  }
  if (!state_.sql) state_.sql.emplace(std::make_unique<Sql::State>(*state_.context.session));
  return *state_.sql;
}

Outcome call_handler(const Worker::Function& function, const queue::JobContext& context,
                     queue::ProgressReports& progress) {
  Job::State state{context, progress};
  class Forget {
   public:
    explicit Forget(Job::State& state) : state_(state) {}
    Forget(const Forget&) = delete;
    Forget& operator=(const Forget&) = delete;
    ~Forget() { state_.progress.forget(state_.context.job.id); }

   private:
    Job::State& state_;
  };
  const Forget forget(state);
  Job job(state);
  try {
    return checked(function(job), state);
  } catch (const pg::Error& error) {
    if (context.session != nullptr) throw;
    return Outcome::failed(storable(error.what()));
  } catch (const std::exception& error) {
    return Outcome::failed(storable(error.what()));
  } catch (...) {
    return Outcome::failed("the handler threw something that is no exception");
  }
}

}  // namespace weir
