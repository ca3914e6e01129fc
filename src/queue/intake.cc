#include "queue/intake.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "queue/job_check.h"
#include "schema/queries/admin.h"
#include "schema/queries/jobs.h"

namespace weir::queue {
namespace {

constexpr std::size_t kBatchJobs = 1000;
constexpr std::size_t kBatchBytes = std::size_t{4} << 20U;

std::optional<std::int64_t> to_us(const std::optional<Duration>& span) {
  return span ? std::optional<std::int64_t>(*span / std::chrono::microseconds(1)) : std::nullopt;
}

}  // namespace

std::int64_t enqueue_one(pg::Session& session, const JobSpec& spec, std::string_view payload) {
  const auto answer =
      session.run<sql::EnqueueJob>(spec.queue, pg::JsonView{payload}, spec.kind, std::int32_t{spec.priority},
                                   spec.run_at, to_us(spec.delay), spec.max_attempts, spec.unique_key,
                                   to_us(spec.unique_for), spec.if_exists, spec.limit_key, spec.deadline);
  return answer.one().id;
}

WallTime read_time(pg::Session& session, std::string_view what, const std::string& text) {
  try {
    const auto answer = session.run<sql::ReadTime>(text);
    if (const auto time = answer.one().at) return *time;
  } catch (const pg::Error& error) {
    if (error.kind() != pg::ErrorKind::server) throw;
  }
  throw Error(ExitCode::usage, fmt::format("{} is '{}', which is no time", what, printable(text)),
              "Write it with its zone, such as '2026-12-24 08:00+01'.");
}

Intake::Intake(pg::Session& session, JobSpec spec, std::optional<std::int64_t> commit_every)
    : session_(session), spec_(std::move(spec)), commit_every_(commit_every) {}

void Intake::add(std::int64_t line, std::string payload) {
  if (const auto fault = find_payload_fault(payload)) {
    throw Error(ExitCode::usage,
                fmt::format("standard input:{}: the payload cannot be used: {}; {}", line, *fault, kept()),
                "Each line is the JSON of one job.");
  }
  if (payloads_.empty()) first_line_ = line;
  last_line_ = line;
  bytes_ += payload.size();
  payloads_.push_back(std::move(payload));
  const auto held = sent_ + static_cast<std::int64_t>(payloads_.size());
  const bool commit_due = commit_every_ && held >= *commit_every_;
  if (commit_due || payloads_.size() >= kBatchJobs || bytes_ >= kBatchBytes) send();
  if (commit_due) commit();
}

std::int64_t Intake::finish() {
  if (!payloads_.empty()) send();
  commit();
  return committed_;
}

std::string Intake::kept() const {
  if (committed_ == 0) return "nothing was enqueued";
  return fmt::format("the {} before were enqueued, up to line {}", human_count(committed_), committed_line_);
}

std::vector<std::int64_t> Intake::write() {
  const std::vector<pg::JsonView> payloads(payloads_.begin(), payloads_.end());
  const auto ids_of = [](const auto& rows) {
    std::vector<std::int64_t> ids;
    for (const auto& row : rows) ids.push_back(row.id);
    return ids;
  };
  if (!spec_.limit_key && !spec_.deadline) {
    return ids_of(session_.run<sql::EnqueueAlike>(spec_.queue, payloads, spec_.kind,
                                                  std::int32_t{spec_.priority}, spec_.run_at,
                                                  to_us(spec_.delay), spec_.max_attempts));
  }
  const auto each = [&](const auto& value) { return std::vector(payloads.size(), value); };
  const std::optional<std::string_view> limit_key = spec_.limit_key;
  return ids_of(session_.run<sql::EnqueueJobs>(
      each(std::string_view(spec_.queue)), payloads, each(std::string_view(spec_.kind)),
      each(std::int32_t{spec_.priority}), each(spec_.run_at), each(to_us(spec_.delay)),
      each(spec_.max_attempts), each(std::optional<std::string_view>()), each(std::optional<std::int64_t>()),
      each(std::string_view(spec_.if_exists)), each(limit_key), each(spec_.deadline)));
}

void Intake::send() {
  if (!transaction_) transaction_.emplace(session_);
  try {
    const auto ids = write();
    if (!ids.empty()) {
      first_id_ = first_id_.value_or(ids.front());
      last_id_ = ids.back();
    }
  } catch (const pg::Error& error) {
    if (error.kind() != pg::ErrorKind::server) throw;
    throw Error(ExitCode::failed, fmt::format("lines {} to {} were refused: {}; {}", first_line_, last_line_,
                                              error.what(), kept()));
  }
  sent_ += static_cast<std::int64_t>(payloads_.size());
  payloads_.clear();
  bytes_ = 0;
}

void Intake::commit() {
  if (!transaction_) return;
  transaction_->commit();
  transaction_.reset();
  committed_ += sent_;
  sent_ = 0;
  committed_line_ = last_line_;
}

}  // namespace weir::queue
