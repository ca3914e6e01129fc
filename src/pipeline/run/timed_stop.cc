#include "pipeline/run/timed_stop.h"

namespace weir::pipeline {

TimedStop::TimedStop(const std::stop_token& stop, Deadline deadline)
    : passed_on_(stop, [this] { source_.request_stop(); }) {
  if (!deadline.is_never()) timer_ = std::jthread([this, deadline] { wait(deadline); });
}

TimedStop::~TimedStop() { source_.request_stop(); }

void TimedStop::wait(Deadline deadline) {
  if (wait_fd(-1, 0, deadline, source_.get_token(), wakeup_) != WaitEnd::deadline) return;
  timed_out_ = true;
  source_.request_stop();
}

}  // namespace weir::pipeline
