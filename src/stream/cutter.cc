#include "stream/cutter.h"

#include <algorithm>

#include "base/backoff.h"
#include "base/log.h"
#include "pg/error.h"
#include "schema/queries/streams.h"
#include "stream/stream.h"

namespace weir::stream {
namespace {

/// Between two looks: while events come in full chunks, while they trickle, and after a while without. Each
/// cut is a transaction, and a chunk is a row for as long as its events are kept.
constexpr Duration kShortest = std::chrono::milliseconds(5);
constexpr Duration kGather = std::chrono::milliseconds(25);
constexpr Duration kLongest = std::chrono::milliseconds(250);
/// To count what millions wrote takes its time.
constexpr Duration kMostOfCut = std::chrono::hours(1);
/// Between two looks whether the one who cuts is still there.
constexpr Duration kFollow = std::chrono::seconds(1);
/// Between two looks at the partitions.
constexpr Duration kKeep = std::chrono::minutes(1);
/// For how long one who failed leaves the stream to others, who look for it every kFollow.
constexpr Duration kGiveWay = 2 * kFollow;
constexpr BackoffPolicy kRetry{.base = std::chrono::milliseconds(50), .cap = std::chrono::seconds(5)};

}  // namespace

Cutter::Cutter(std::shared_ptr<const pg::Connector> connector, const work::Process& process,
               StreamDefinition stream)
    : connector_(std::move(connector)), process_(process), stream_(std::move(stream)) {}

void Cutter::run(const std::stop_token& stop, const std::function<void()>& ready) {
  ready();
  Wakeup unused;
  for (int failures = 0; !stop.stop_requested();) {
    Duration pause{};
    try {
      pg::Session* session = this->session(stop);
      if (session == nullptr) break;
      // It may have been taken over from another server, or changed.
      if (failures > 0) stream_ = find_stream(*session, stream_.name);
      pause = step(*session);
      if (leads_) failures = 0;
    } catch (const std::exception& error) {
      if (stop.stop_requested()) break;
      pause = give_way(++failures);
      log::warn("a stream could not be cut; it is tried again",
                {{"stream", stream_.name}, {"error", error.what()}});
      failed.emit(failures);
    }
    wait_fd(-1, 0, Deadline::after(pause), stop, unused);
  }
  session_.reset();
}

pg::Session* Cutter::session(const std::stop_token& stop) {
  const auto life = process_.life(stop);
  if (!life) return nullptr;
  if (!session_ || !session_->is_open() || life_ != life->id()) {
    leads_ = false;
    session_.reset();
    session_.emplace(connector_->connect(pg::Role::poll, life->session_id(), {.stop = stop}));
    session_->set_timeout(kMostOfCut);
    life_ = life->id();
  }
  session_->set_stop(stop);
  return &*session_;
}

/// What keeps us from cutting may keep nobody else, such as a right that our role lacks. A single failure may
/// be anybody's.
Duration Cutter::give_way(int failures) {
  const Duration pause = backoff_delay(kRetry, failures, random_unit());
  const bool ours = session_ && session_->is_open();
  session_.reset();  // and with it the lock
  leads_ = false;
  return ours && failures > 1 ? std::max(pause, kGiveWay) : pause;
}

Duration Cutter::step(pg::Session& session) {
  if (!leads_ && session.keeps_state()) {
    const auto answer = session.run<sql::LeadStreamCuts>(stream_.id);
    if (!answer.one().leads) return kFollow;
  }
  leads_ = true;
  keep(session);
  try {
    const CutReport report = cut(session, stream_, StreamSql(stream_));
    if (report.events > 0) cut_done.emit(report.events);
    if (report.more) return Duration::zero();
    if (report.events >= stream_.chunk_events) return pause_ = kShortest;
    pause_ = report.events > 0 ? kGather : std::min(kLongest, std::max(kGather, pause_ * 3 / 2));
  } catch (const pg::Error& error) {
    if (!session.is_open() || !is_cut_conflict(error)) throw;
    pause_ = kFollow;  // somebody without our lock
  }
  return pause_;
}

void Cutter::keep(pg::Session& session) {
  const SteadyTime now = std::chrono::steady_clock::now();
  if (now < keep_due_) return;
  keep_due_ = now + kKeep;
  try {
    tell(keep_partitions(session, stream_));
    merge_chunks(session, stream_, merged_up_to_);
  } catch (const pg::Error& error) {
    // Cutting goes on: partitions are made days ahead.
    if (!session.is_open()) throw;
    log::warn("the stream's partitions could not be kept; weir stream keep does it as the table's owner",
              {{"stream", stream_.name}, {"error", error.what()}});
  }
}

void Cutter::tell(const KeepReport& report) const {
  for (const std::string& name : report.dropped)
    log::info("a partition was dropped", {{"stream", stream_.name}, {"partition", name}});
  for (const std::string& name : report.busy) {
    log::warn("a partition could not be made or dropped; it is tried again in a minute",
              {{"stream", stream_.name}, {"partition", name}});
  }
  for (const Held& held : report.held) {
    log::warn("a partition is kept longer than it should be: a group has not had all of it",
              {{"partition", held.partition}, {"group", held.group}, {"events", held.events}});
  }
  if (report.lost > 0) {
    log::error("groups lost events with partitions that they held for too long",
               {{"stream", stream_.name}, {"events", report.lost}});
  }
}

}  // namespace weir::stream
