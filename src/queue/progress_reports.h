#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "base/test_signal.h"
#include "base/thread_service.h"
#include "pg/connector.h"
#include "work/progress_sink.h"

namespace weir::queue {

/// What the running jobs of this process say of themselves, written to weir.job_progress at most once in an
/// interval for all of them, however often they say it. Best effort: a report that cannot be written is
/// dropped.
class ProgressReports final : public ThreadService, public work::ProgressSink {
 public:
  explicit ProgressReports(std::shared_ptr<const pg::Connector> connector,
                           Duration interval = std::chrono::seconds(1));
  ProgressReports(const ProgressReports&) = delete;
  ProgressReports& operator=(const ProgressReports&) = delete;
  ~ProgressReports() override { stop(); }

  [[nodiscard]] std::string_view name() const noexcept override { return "progress reports"; }

  /// Any thread. `share` is brought into 0 to 1, and a long note is cut.
  void report(std::int64_t job, double share, std::string_view note) override;
  /// The job has ended: its row goes, also one that is being written just now.
  void forget(std::int64_t job) override;

  /// For tests: how many reports were written together.
  TestSignal<std::size_t> written;

 protected:
  void run(const std::stop_token& stop, const std::function<void()>& ready) override;

 private:
  struct Report {
    double share = 0;
    std::string note{};
    bool fresh = true;    ///< not written yet
    bool stored = false;  ///< there may be a row of it
  };

  [[nodiscard]] bool has_news() const;
  void write(pg::Session& session);

  std::shared_ptr<const pg::Connector> connector_;
  Duration interval_;
  Wakeup wakeup_;

  mutable Mutex mutex_;
  std::map<std::int64_t, Report> reports_ WEIR_GUARDED_BY(mutex_);
  std::vector<std::int64_t> ended_ WEIR_GUARDED_BY(mutex_);
  bool news_ WEIR_GUARDED_BY(mutex_) = false;
};

}  // namespace weir::queue
