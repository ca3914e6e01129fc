#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "base/wait.h"
#include "queue/adopt_batch.h"
#include "queue/adopt_waker.h"

namespace weir::queue {

/// What the workers of a process have in common; outlives them.
struct AdoptShared {
  std::shared_ptr<const pg::Connector> connector;
  Adopted adopted;
  AdoptSql sql;
  AdoptRetries retries;
  AdoptBatchOptions batch;
  bool once = false;
  Duration poll = std::chrono::seconds(5);  ///< the longest time between two looks
  AdoptWaker* waker = nullptr;              ///< null: only by polling
  std::function<void(const AdoptBatchReport&)> on_batch;
  std::function<void()> on_trouble;  ///< a batch was undone by a loss or a conflict
  std::function<void()> on_sleep;    ///< only a notification or the next look wakes it
};

/// One session, one handler, batch after batch. It scans from a low-water mark: where the index holds the
/// done rows too, or their dead versions because somebody's old snapshot still needs them, a scan from the
/// start would walk all of them each time. Rows appear below the mark as well (late commits, failures of
/// others), so there are scans from the start now and then, no more than a twentieth of the time, and before
/// it is idle.
class AdoptWorker {
 public:
  AdoptWorker(AdoptShared& shared, std::string id, std::unique_ptr<work::Handler> handler);

  /// Until nothing is left (once) or `soft` is requested: then it finishes its batch. `hard` breaks that off.
  /// Comes back from every loss of the session; throws what would be the same the next time.
  void run(const std::stop_token& soft, const std::stop_token& hard);

 private:
  enum class Next { again, finished };
  Next step(pg::Session& session, const std::stop_token& soft, const std::stop_token& hard);
  Next idle(pg::Session& session, bool full, const AdoptWaker::Registration& seen, bool settled,
            const std::stop_token& soft);
  pg::Session& connected(const std::stop_token& soft, const std::stop_token& hard);
  void follow(const AdoptBatchReport& report, bool full);
  [[nodiscard]] bool anything_left(pg::Session& session);
  void pause(Duration span, const std::stop_token& soft);

  AdoptShared& shared_;
  const std::string id_;
  const std::unique_ptr<work::Handler> handler_;
  AdoptBatchRunner runner_;
  std::optional<pg::Session> session_;
  std::optional<std::string> mark_;
  SteadyTime rescan_at_{};
  int idle_rounds_ = 0;
  std::optional<AdoptWaker::Sleeper> sleeper_;
  Wakeup wakeup_;
};

}  // namespace weir::queue
