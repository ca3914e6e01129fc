#include "stream/consumer.h"

#include <algorithm>

#include <poll.h>

#include <fmt/format.h>

#include "base/text.h"
#include "schema/queries/streams.h"
#include "schema/queries/streams_lanes.h"
#include "stream/stream.h"
#include "work/work_connector.h"

namespace weir::stream {
namespace {

/// The lane of an event comes from the text of its key. Two sessions that wrote it differently would each
/// take the event for one of another's lane; and keys that are equal are to be of one.
void require_steady_key(pg::Session& session, const StreamDefinition& stream) {
  if (!stream.columns.key) return;
  const auto types = session.run<sql::StreamKeyType>(stream.schema, stream.table, *stream.columns.key);
  if (types.empty() || types.one().is_steady) return;
  throw Error(
      ExitCode::refused,
      fmt::format("the key of the stream {} is of the type {}, whose values are not each written in one way "
                  "only, for good: no group can be kept in order by it",
                  printable(stream.name), printable(types.one().type)),
      "Keys that can be are text, integers, boolean, uuid and addresses. Or take a group without "
      "--ordered.");
}

std::int32_t group_id(pg::Session& session, const StreamDefinition& stream, const ConsumerOptions& options) {
  if (options.ordered) {
    require_steady_key(session, stream);
    const auto made = session.run<sql::MakeOrderedStreamGroup>(
        stream.id, options.group, options.from, options.lanes.value_or(ConsumerOptions::kLanes));
    return made.one().id;
  }
  const auto made = session.run<sql::MakeStreamGroup>(stream.id, options.group, options.from);
  return made.one().id;
}

/// What was handed out cannot be put in order any more, nor dealt out to other lanes.
void require_lanes(const StreamDefinition& stream, const GroupDefinition& group,
                   const ConsumerOptions& options) {
  if (!options.ordered) return;
  const std::string of =
      fmt::format("the group {} of the stream {}", printable(group.name), printable(stream.name));
  if (!group.is_ordered()) {
    throw Error(
        ExitCode::refused, of + " is not kept in order, and cannot be from now on",
        "Take another --group with --ordered, from the time on that it is to have; then drop this one.");
  }
  if (options.lanes && *options.lanes != group.lanes) {
    throw Error(
        ExitCode::refused, fmt::format("{} has {} lanes, and not {}", of, group.lanes, *options.lanes),
        "How many there are is settled when a group is made: leave --lanes out, or take another group.");
  }
}

GroupDefinition make_group(pg::Session& session, const StreamDefinition& stream,
                           const ConsumerOptions& options) {
  // One that begins in the past may be given a row for each chunk there is.
  session.set_timeout(std::chrono::hours(1));
  GroupDefinition group{.id = group_id(session, stream, options), .name = options.group};
  const auto settings = session.run<sql::StreamGroupSettings>(group.id);
  const auto row = settings.one();
  group.max_attempts = row.max_attempts;
  group.backoff = {.base = std::chrono::milliseconds(row.backoff_ms),
                   .cap = std::chrono::milliseconds(row.backoff_cap_ms)};
  group.lanes = row.lanes;
  group.stream_id = stream.id;
  require_lanes(stream, group, options);
  return group;
}

}  // namespace

Consumer::Consumer(std::shared_ptr<const pg::Connector> connector, Work work, ConsumerOptions options)
    : connector_(std::move(connector)), work_(std::move(work)), options_(std::move(options)) {}

void Consumer::start() {
  const MutexLock lock(mutex_);
  if (runtime() != nullptr) return;
  const work::WorkConnector at = work::connector_for_work(connector_);
  pg::Session session = at.connector->connect(pg::Role::api, "start");
  work::require_read_committed(session);
  // The cutter has one, too.
  if (at.can_be_woken)
    work::require_connections(session, work_.leased ? 0 : options_.workers, work::kPollSessions + 1);
  const StreamDefinition stream = find_stream(session, options_.stream);
  source_ = std::make_unique<GroupSource>(stream, make_group(session, stream, options_));
  session.close();

  work::RuntimeOptions options{.slots = options_.workers,
                               .drain = options_.drain,
                               .can_be_woken = at.can_be_woken,
                               .once = options_.once,
                               .most_in_batch = static_cast<std::size_t>(options_.batch),
                               .patience = options_.patience};
  if (!at.can_be_woken) options.longest_sleep = std::chrono::seconds(1);
  process_ = std::make_unique<work::Process>(
      at.connector, work::Process::Options{.name = work::process_name(), .lease = options_.lease});
  process_->start();
  cutter_ = std::make_unique<Cutter>(at.connector, *process_, stream);
  try {
    cutter_->start();
    start_runtime(options, at.connector);
  } catch (...) {
    leased_.reset();
    transactional_.reset();
    cutter_.reset();
    process_->stop();
    throw;
  }
}

void Consumer::start_runtime(const work::RuntimeOptions& options,
                             const std::shared_ptr<const pg::Connector>& connector) {
  if (work_.leased) {
    leased_ = std::make_unique<work::Runtime>(connector, *process_, *source_, work_.leased, options);
  } else {
    transactional_ = std::make_unique<work::TransactionRuntime>(
        connector, *process_, *source_,
        [this] { return source_->taker(work_.transactional(*source_), {.events = options_.batch}); },
        options);
  }
  runtime()->start();
}

Service* Consumer::runtime() const noexcept {
  return leased_ ? static_cast<Service*>(leased_.get()) : transactional_.get();
}

void Consumer::stop() noexcept {
  const MutexLock lock(mutex_);
  if (runtime() != nullptr) runtime()->stop();
  if (cutter_) cutter_->stop();
  if (process_) process_->stop();
  leased_.reset();
  transactional_.reset();
  cutter_.reset();
}

bool Consumer::wait_until_finished(const std::stop_token& stop, Deadline deadline) {
  Wakeup& finished = leased_ ? leased_->finished() : transactional_->finished();
  Wakeup unused;
  return wait_fd(finished.fd(), POLLIN, deadline, stop, unused) == WaitEnd::ready;
}

}  // namespace weir::stream
