#include "stream/partition_keeper.h"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include "pg/error.h"
#include "pg/transaction.h"
#include "schema/queries/streams.h"
#include "stream/cut.h"
#include "stream/sql_time.h"
#include "stream/stream_sql.h"
#include "stream/stream_table.h"

namespace weir::stream {
namespace {

/// What is awaited for a lock: who writes to the stream meanwhile is never held up for longer.
constexpr const char* kLockTimeout = "200ms";
/// Rows of weir.stream_chunk that are forgotten in one statement.
constexpr std::int32_t kMostForgotten = 10'000;

class PartitionKeeper {
 public:
  PartitionKeeper(pg::Session& session, const StreamDefinition& stream)
      : session_(session), stream_(stream), sql_(stream) {}

  KeepReport run() {
    const auto rows = session_.run<sql::StreamKeeping>(stream_.id);
    if (rows.empty() || !rows.one().span_ms) return {};
    const auto settings = rows.one();
    const bool locks = session_.keeps_state();
    if (locks) {
      const auto lock = session_.run<sql::KeepStreamAlone>(stream_.id);
      if (!lock.one().alone) return {};
    }
    try {
      keep(settings);
    } catch (...) {
      if (locks && session_.is_open()) leave();
      throw;
    }
    if (locks) leave();
    return std::move(report_);
  }

 private:
  using Settings = sql::StreamKeeping::Row;

  void keep(const Settings& settings) {
    make(settings.now, std::chrono::milliseconds(*settings.span_ms), settings.ahead);
    finish_detached();  // of one who died
    const Retention retention{
        .time = settings.retain_ms ? std::optional<Duration>(std::chrono::milliseconds(*settings.retain_ms))
                                   : std::nullopt,
        .bytes = settings.retain_bytes,
        .hold = std::chrono::milliseconds(settings.hold_ms)};
    for (const Expired& old : expired(partitions_of(session_, stream_), settings.now, retention)) {
      if (may_go(old, true)) begin(old);
    }
    finish_detached();
    open_again();
  }
  void leave() { static_cast<void>(session_.run<sql::LeaveStreamKeeping>(stream_.id)); }

  void make(WallTime now, Duration length, int ahead) {
    std::vector<Span> present;
    for (const Partition& partition : partitions_of(session_, stream_)) {
      if (!partition.is_default) present.push_back(partition.span);
    }
    for (const Span& span : missing_spans(present, now, length, ahead)) {
      locking(partition_name(stream_.table, span), [&] {
        pg::Transaction transaction(session_);
        transaction.set_local("lock_timeout", kLockTimeout);
        add_partition(session_, stream_, span);
        transaction.commit();
        report_.made.push_back(partition_name(stream_.table, span));
      });
    }
  }

  /// A cheap look first; what it says holds only once nobody can write to the partition any more.
  bool may_go(const Expired& old, bool tell) {
    if (!old.in_spite_of_groups && has_uncut(old.partition.name)) return false;
    bool held = false;
    const Span& span = old.partition.span;
    for (const auto& row : session_.run<sql::StreamBlockers>(stream_.id, span.from, span.to)) {
      // What a process has at hand is awaited in any case: it is reading it.
      if (old.in_spite_of_groups && !row.claimed) continue;
      held = true;
      if (tell) report_.held.push_back({old.partition.name, std::string(row.group_name), row.events});
    }
    return !held;
  }

  bool has_uncut(const std::string& partition) {
    const LastCut last = last_cut(session_, stream_);
    const pg::Result found =
        session_.execute(sql_.has_uncut(in_schema(stream_, partition)), last.horizon.end, last.horizon.open);
    return found[0].get<bool>(0);
  }

  /// Shuts the partition to those who write, waits for those who are at it, and cuts what they wrote: a
  /// detached partition is seen by no cut. Who reads is not held up. From the commit on that says so, no
  /// group gets chunks with events of it, and it goes, whoever ends what was begun.
  void begin(const Expired& old) {
    const std::string& name = old.partition.name;
    const Span& span = old.partition.span;
    locking(name, [&] {
      seal(name);
      while (cut(session_, stream_, sql_).more) {
      }
      pg::Transaction transaction(session_);
      // Who has a chunk in a transaction of his own holds its row: nobody could cut while we wait for him.
      transaction.set_local("lock_timeout", kLockTimeout);
      static_cast<void>(session_.run<sql::LockStreamPast>(stream_.id));
      static_cast<void>(session_.run<sql::LockStream>(stream_.id));
      if (!may_go(old, false)) return;
      const auto lost = session_.run<sql::ForgetStreamPartition>(stream_.id, name, span.from, span.to);
      const std::int64_t events = lost.one().lost;
      session_.run<sql::BeginStreamDetach>(stream_.id, name, span.from, span.to, old.in_spite_of_groups);
      transaction.commit();
      report_.lost += events;
    });
  }
  void seal(const std::string& partition) {
    const std::string table = in_schema(stream_, partition);
    pg::Transaction transaction(session_);
    transaction.set_local("lock_timeout", kLockTimeout);
    session_.execute(
        fmt::format("CREATE OR REPLACE TRIGGER {} BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION "
                    "weir.refuse_late_event()",
                    kSeal, table));
    session_.execute(fmt::format("ALTER TABLE {} ENABLE ALWAYS TRIGGER {}", table, kSeal));
    transaction.commit();
  }
  /// What was shut and stays: a group came in between, or somebody died.
  void open_again() {
    std::vector<std::string> going;
    for (const auto& row : session_.run<sql::StreamDetached>(stream_.id)) going.emplace_back(row.table_name);
    for (const Partition& partition : partitions_of(session_, stream_)) {
      if (!partition.sealed || std::find(going.begin(), going.end(), partition.name) != going.end()) continue;
      locking(partition.name, [&] {
        pg::Transaction transaction(session_);
        transaction.set_local("lock_timeout", kLockTimeout);
        session_.execute(
            fmt::format("ALTER TABLE {} DISABLE TRIGGER {}", in_schema(stream_, partition.name), kSeal));
        transaction.commit();
      });
    }
  }

  void finish_detached() {
    struct Detached {
      std::string table;
      bool attached, detaching, is_there;
    };
    std::vector<Detached> all;
    for (const auto& row : session_.run<sql::StreamDetached>(stream_.id))
      all.push_back({std::string(row.table_name), row.attached, row.detaching, row.is_there});
    for (const Detached& one : all) {
      // The server begins to detach one partition at a time.
      const bool ended = locking(one.table, [&] {
        if (one.attached) detach(one.table, one.detaching);
        drop(one.table, one.is_there);
      });
      if (!ended) break;
    }
    if (!all.empty()) forget_chunks();
  }

  /// Nobody who reads or writes waits for it: only with a default partition a lock is needed that shuts
  /// everybody out, and is awaited for a moment.
  void detach(const std::string& table, bool began) {
    const std::string what = fmt::format("ALTER TABLE {} DETACH PARTITION {}",
                                         in_schema(stream_, stream_.table), in_schema(stream_, table));
    const auto partitions = partitions_of(session_, stream_);
    const bool plain = std::any_of(partitions.begin(), partitions.end(),
                                   [](const Partition& partition) { return partition.is_default; });
    if (plain && !began) {
      pg::Transaction transaction(session_);
      transaction.set_local("lock_timeout", kLockTimeout);
      session_.execute(what);
      transaction.commit();
      return;
    }
    const bool bounded = session_.keeps_state();  // a pooler would leave the setting to somebody else
    if (bounded) session_.set("lock_timeout", kLockTimeout);
    try {
      session_.execute(what + (began ? " FINALIZE" : " CONCURRENTLY"));
    } catch (...) {
      if (bounded && session_.is_open()) session_.set("lock_timeout", "0");
      throw;
    }
    if (bounded) session_.set("lock_timeout", "0");
  }

  void drop(const std::string& table, bool is_there) {
    pg::Transaction transaction(session_);
    transaction.set_local("lock_timeout", kLockTimeout);
    if (is_there) session_.execute("DROP TABLE " + in_schema(stream_, table));
    session_.run<sql::EndStreamDetach>(stream_.id, table);
    transaction.commit();
    if (is_there) report_.dropped.push_back(table);
  }

  void forget_chunks() {
    std::optional<WallTime> oldest;
    for (const Partition& partition : partitions_of(session_, stream_)) {
      if (partition.is_default) return;  // it may hold events of any time
      oldest = std::min(oldest.value_or(partition.span.from), partition.span.from);
    }
    if (!oldest) return;
    for (bool more = true; more;) {
      pg::Transaction transaction(session_);
      // A group is given chunks just now, some of these perhaps: they go together with the next partition.
      const auto past = session_.run<sql::TryLockStreamPast>(stream_.id);
      if (!past.one().locked) return;
      static_cast<void>(session_.run<sql::LockStream>(stream_.id));
      const auto forgotten = session_.run<sql::ForgetStreamChunks>(stream_.id, *oldest, kMostForgotten);
      more = forgotten.size() == kMostForgotten;
      transaction.commit();
    }
  }

  template <class Work>
  bool locking(const std::string& partition, Work&& work) {
    try {
      work();
      return true;
    } catch (const pg::Error& error) {
      // The lock was not to be had in time; somebody made the partition; somebody is detaching another one;
      // events of that time are in the default partition.
      constexpr std::array<std::string_view, 4> kLater{"55P03", "42P07", "55000", "23514"};
      const bool later = std::find(kLater.begin(), kLater.end(), error.sqlstate()) != kLater.end();
      if (!session_.is_open() || !(later || is_cut_conflict(error))) throw;
      report_.busy.push_back(partition);
      return false;
    }
  }

  pg::Session& session_;
  const StreamDefinition& stream_;
  const StreamSql sql_;
  KeepReport report_;
};

}  // namespace

std::vector<Partition> partitions_of(pg::Session& session, const StreamDefinition& stream) {
  std::vector<Partition> partitions;
  for (const auto& row : session.run<sql::StreamPartitions>(stream.schema, stream.table)) {
    partitions.push_back(
        {.name = std::string(row.name),
         .span = {row.from_at.value_or(WallTime::min()), row.to_at.value_or(WallTime::max())},
         .bytes = row.bytes,
         .is_default = row.is_default,
         .detaching = row.detaching,
         .sealed = row.sealed});
  }
  return partitions;
}

KeepReport keep_partitions(pg::Session& session, const StreamDefinition& stream) {
  return PartitionKeeper(session, stream).run();
}

}  // namespace weir::stream
