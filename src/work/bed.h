#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pg/connector.h"
#include "work/undecided.h"

namespace weir::work {

class Life;

/// Where a process sleeps: its listening session, with the locks that tell producers so. Used by one thread.
/// When the session is lost, so are the locks, and the process has to look for itself. models/wakeup.pml:
/// `Worker`, which stands for a process that waits; `stop` is hand_over().
class Bed {
 public:
  Bed(const pg::Connector& connector, std::vector<std::string> topics)
      : connector_(connector), topics_(std::move(topics)), topic_views_(topics_.begin(), topics_.end()) {}
  Bed(const Bed&) = delete;
  Bed& operator=(const Bed&) = delete;
  ~Bed() = default;

  /// Connects, joins the topics and listens, if that is not done for this life. Throws what connecting
  /// throws.
  void make(const Life& life, const std::stop_token& stop);
  [[nodiscard]] bool is_made() const noexcept { return session_ && session_->is_open(); }

  void lie_down();
  /// Where that fails the session is given up, and the locks with it.
  void get_up() noexcept;
  [[nodiscard]] bool lying() const noexcept { return lying_ && is_made(); }
  /// While lying: whether every transaction has ended that may have enqueued without seeing us. Once true it
  /// stays.
  [[nodiscard]] bool decided() { return undecided_.decided(*session_); }

  struct Heard {
    bool wake = false;
    bool cancel = false;
    std::vector<std::string> about;  ///< what it was woken for: topics
  };
  /// What was notified; where nothing was, waits for it, the deadline, stop or `room`.
  Heard wait(Deadline deadline, const std::stop_token& stop, Wakeup& room);
  void leave() noexcept { session_.reset(); }
  /// What this process was woken for, or had begun, may be left to nobody else; wakes others for it.
  void hand_over() noexcept;

 private:
  [[nodiscard]] Heard take_in();

  const pg::Connector& connector_;
  const std::vector<std::string> topics_;
  const std::vector<std::string_view> topic_views_;
  std::optional<pg::Session> session_;
  std::int64_t process_ = 0;
  bool lying_ = false;
  Undecided undecided_;
};

}  // namespace weir::work
