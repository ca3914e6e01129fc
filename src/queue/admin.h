#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "pg/session.h"
#include "queue/queue_config.h"

// What people do with queues and jobs, for `weir queue` and `weir job`. Every function uses a session outside
// of any transaction.

namespace weir::queue {

/// Throws the usage error, with the queue that was probably meant.
std::int32_t find_queue(pg::Session& session, std::string_view name);

/// All queues where no names are given; throws as find_queue() for a name that is none.
std::vector<QueueConfig> read_queues(pg::Session& session, const std::vector<std::string>& names = {});
/// Makes the queue if it does not exist. `words` as set_word() takes them: all of them or none.
QueueConfig change_queue(pg::Session& session, std::string_view name, std::span<const std::string> words);
/// All of them or none. What goes on wakes its workers.
void pause_queues(pg::Session& session, const std::vector<std::string>& names, bool paused);

/// One job of a list.
struct JobLine {
  std::int64_t id = 0;
  std::string queue;
  std::string state;  ///< running, waiting, later, dead, done, cancelled
  std::string kind;
  std::optional<int> priority;
  int attempt = 0;
  std::optional<int> max_attempts;
  WallTime created_at{};
  std::optional<WallTime> at;  ///< started, due, died, ended
  std::optional<std::int64_t> worker;
  std::optional<std::string> limit_key;
  std::string error;
};

/// The words for `JobFilter::states`; "done" stands for what was cancelled as well.
inline constexpr std::string_view kJobStates[] = {"running", "waiting", "later", "dead", "done"};

struct JobFilter {
  std::vector<std::string_view> states{std::begin(kJobStates), std::end(kJobStates)};
  std::optional<std::string> queue;
  std::optional<std::string> kind;
  std::int64_t most = 50;
};
std::vector<JobLine> list_jobs(pg::Session& session, const JobFilter& filter);

enum class Retried {
  at_once,   ///< it was due later
  replayed,  ///< it was dead
  waiting,   ///< it waits already
  running,
  ended,  ///< it is done or cancelled
  missing,
};
/// Makes a job run now that is due later, or start again that is dead.
Retried retry_job(pg::Session& session, std::int64_t id);

enum class Cancelled {
  cancelled,
  stopping,        ///< its process was asked to stop it
  in_transaction,  ///< of somebody else, mostly a worker in transactional mode: it cannot be stopped
  ended,           ///< it is done, dead or cancelled
  missing,
};
Cancelled cancel_job(pg::Session& session, std::int64_t id);

/// The dead ones among them; answers how many.
std::int64_t replay_jobs(pg::Session& session, const std::vector<std::int64_t>& ids);
/// All that are dead by now, of one queue or of all, in steps that each commit; `on_step` hears how many so
/// far.
std::int64_t replay_queue(pg::Session& session, std::optional<std::int32_t> queue,
                          const std::function<void(std::int64_t)>& on_step);

}  // namespace weir::queue
