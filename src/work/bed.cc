#include "work/bed.h"

#include "base/log.h"
#include "schema/queries/work.h"
#include "work/process.h"

namespace weir::work {
namespace {

/// A stop does not wait longer for others to be told.
constexpr Duration kHandOver = std::chrono::seconds(2);

}  // namespace

void Bed::make(const Life& life, const std::stop_token& stop) {
  if (is_made() && process_ == life.id()) return;
  lying_ = false;
  session_.reset();
  pg::Session session = connector_.connect(pg::Role::listen, life.session_id(), {.stop = stop});
  session.run<sql::JoinTopics>(life.id(), topic_views_);
  session.execute_script("LISTEN weir_all; LISTEN weir_" + std::to_string(life.id()));
  session.set_stop(life.lost());
  session_.emplace(std::move(session));
  process_ = life.id();
}

void Bed::lie_down() {
  session_->run<sql::LieDown>(process_, topic_views_);
  undecided_.begin(*session_);
  lying_ = true;
}

void Bed::get_up() noexcept {
  if (!lying()) return;
  lying_ = false;
  try {
    session_->run<sql::GetUp>(process_, topic_views_);
  } catch (const std::exception& error) {
    log::debug("the listening session is made anew", {{"process", process_}, {"error", error.what()}});
    leave();
  }
}

void Bed::hand_over() noexcept {
  get_up();
  if (!is_made()) return;
  try {
    session_->set_timeout(kHandOver);
    for (const std::string& topic : topics_) session_->run<sql::WakeTopic>(topic, 2);
  } catch (const std::exception& error) {
    log::warn("what this process was woken for may have to wait for others to look",
              {{"process", process_}, {"error", error.what()}});
    leave();
  }
}

Bed::Heard Bed::wait(Deadline deadline, const std::stop_token& stop, Wakeup& room) {
  if (!is_made()) {
    wait_fd(-1, 0, deadline, stop, room);
    return {};
  }
  // What came with the answer to a statement of ours has left the socket, which will not tell of it again.
  const Heard heard = take_in();
  if (heard.wake || heard.cancel) return heard;
  session_->wait_readable({.deadline = deadline, .stop = stop}, room);
  return take_in();
}

Bed::Heard Bed::take_in() {
  Heard heard;
  while (const auto notification = session_->next_notification()) {
    if (notification->payload == "cancel") {
      heard.cancel = true;
    } else {
      heard.wake = true;
      heard.about.emplace_back(notification->payload);
    }
  }
  return heard;
}

}  // namespace weir::work
