#include "queue/progress_reports.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/log.h"
#include "base/text.h"
#include "schema/queries/jobs.h"

namespace weir::queue {
namespace {

constexpr std::size_t kLongestNote = 200;

}  // namespace

ProgressReports::ProgressReports(std::shared_ptr<const pg::Connector> connector, Duration interval)
    : connector_(std::move(connector)), interval_(interval) {}

void ProgressReports::report(std::int64_t job, double share, std::string_view note) {
  std::string clean = elide(printable(note), kLongestNote);
  const MutexLock lock(mutex_);
  Report& report = reports_[job];
  report.share = std::isnan(share) ? 0.0 : std::clamp(share, 0.0, 1.0);
  report.note = std::move(clean);
  report.fresh = true;
  if (!std::exchange(news_, true)) wakeup_.notify();
}

void ProgressReports::forget(std::int64_t job) {
  const MutexLock lock(mutex_);
  const auto found = reports_.find(job);
  if (found == reports_.end()) return;
  const bool stored = found->second.stored;
  reports_.erase(found);
  if (!stored) return;
  ended_.push_back(job);
  if (!std::exchange(news_, true)) wakeup_.notify();
}

bool ProgressReports::has_news() const {
  const MutexLock lock(mutex_);
  return news_;
}

void ProgressReports::run(const std::stop_token& stop, const std::function<void()>& ready) {
  ready();
  std::optional<pg::Session> session;
  SteadyTime due{};
  for (bool last = false; !last;) {
    const WaitEnd end = wait_fd(-1, 0, has_news() ? Deadline(due) : Deadline::never(), stop, wakeup_);
    if (end == WaitEnd::woken) {
      wakeup_.drain();
      continue;
    }
    last = end == WaitEnd::stopped;
    if (last && !has_news()) break;
    try {
      if (!session || !session->is_open()) session.emplace(connector_->connect(pg::Role::api, "progress"));
      write(*session);
    } catch (const std::exception& error) {
      log::warn("the progress of jobs could not be written", {{"error", error.what()}});
      session.reset();
    }
    due = std::chrono::steady_clock::now() + interval_;
  }
}

void ProgressReports::write(pg::Session& session) {
  std::vector<std::int64_t> jobs;
  std::vector<double> shares;
  std::vector<std::string> notes;
  std::vector<std::int64_t> ended;
  {
    const MutexLock lock(mutex_);
    for (auto& [job, report] : reports_) {
      if (!std::exchange(report.fresh, false)) continue;
      report.stored = true;
      jobs.push_back(job);
      shares.push_back(report.share);
      notes.push_back(report.note);
    }
    ended.swap(ended_);
    news_ = false;
  }
  const std::vector<std::string_view> texts(notes.begin(), notes.end());
  try {
    if (!jobs.empty()) session.run<sql::ReportProgress>(jobs, shares, texts);
    if (!ended.empty()) session.run<sql::ForgetProgress>(ended);
  } catch (...) {
    // What is told again soon may be lost; who has ended is told once, and nobody else looks after him.
    const MutexLock lock(mutex_);
    ended_.insert(ended_.end(), ended.begin(), ended.end());
    if (!ended_.empty()) news_ = true;
    throw;
  }
  if (!jobs.empty()) written.emit(jobs.size());
}

}  // namespace weir::queue
