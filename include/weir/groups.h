#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include <weir/client.h>
#include <weir/error.h>
#include <weir/outcome.h>
#include <weir/sql.h>

namespace weir {

/// A batch on its way in. What is kept in order is a group: a tenant's key in a feed.
struct NewBatch {
  std::string tenant;
  std::string key;
  std::string payload = "{}";  ///< JSON text
  /// Batches of one run follow each other without a gap, and fail together. None: it is a run of its own.
  std::optional<std::string> run{};
  std::optional<std::int32_t> index{};  ///< in its run, from 0; none: the next one
  bool final = false;                   ///< none of its run follows
  bool supersede = false;               ///< what is left of the group's older runs fails
  std::optional<std::int64_t> rows{};   ///< for people
  std::optional<std::int64_t> bytes{};
  std::string feed = "default";
};

/// Within a transaction: the batch is there when it commits, and never was when it is rolled back. Answers
/// its id, such as "17.0". The same batch submitted again is the same batch; another one in its place throws.
std::string submit(Sql& transaction, const NewBatch& batch);
/// In a transaction of its own.
std::string submit(Client& client, const NewBatch& batch);

/// A sink of a feed: each has every batch before it once.
struct NewFeedSink {
  std::string name{};
  std::optional<std::string> after{};  ///< the sink that has to have a batch first
  /// Also what was submitted since then and is kept; none: what comes from now on.
  std::optional<std::chrono::system_clock::time_point> from{};
  std::string feed = "default";
};

/// False where the feed has it already: then nothing is changed. Nobody submits to the feed or ends a batch
/// of it until the transaction ends. Throws Failure::lock_timeout where somebody is just doing that: then it
/// is to be begun again.
bool add_sink(Sql& transaction, const NewFeedSink& sink);
/// In a transaction of its own, which is tried for a minute, each time shortly.
bool add_sink(Client& client, const NewFeedSink& sink);

/// A batch on its way through a sink; lives as long as the sink's call, and belongs to its thread.
class GroupBatch {
 public:
  struct State;
  explicit GroupBatch(State& state) noexcept : state_(state) {}
  GroupBatch(const GroupBatch&) = delete;
  GroupBatch& operator=(const GroupBatch&) = delete;
  ~GroupBatch() = default;

  [[nodiscard]] std::string id() const;
  [[nodiscard]] std::string_view tenant() const noexcept;
  [[nodiscard]] std::string_view key() const noexcept;
  [[nodiscard]] std::string_view run() const noexcept;  ///< its name; empty where it is a run of its own
  [[nodiscard]] std::int64_t run_id() const noexcept;
  [[nodiscard]] std::int32_t index() const noexcept;
  [[nodiscard]] bool is_final() const noexcept;
  [[nodiscard]] std::string_view payload() const noexcept;  ///< JSON text
  [[nodiscard]] std::optional<std::int64_t> rows() const noexcept;
  [[nodiscard]] std::optional<std::int64_t> bytes() const noexcept;
  [[nodiscard]] std::chrono::system_clock::time_point created_at() const noexcept;
  [[nodiscard]] int attempt() const noexcept;                  ///< counted from 1
  [[nodiscard]] std::string_view last_error() const noexcept;  ///< of the attempt before

  /// Requested when the consumer ends, or the group is not ours any more: return soon.
  [[nodiscard]] const std::stop_token& stop() const noexcept;
  /// Of a sink inside: statements that commit together with the end of the batch. Throws Failure::usage in
  /// one outside.
  [[nodiscard]] Sql& transaction();
  /// Of a sink outside: throws where the group is not ours any more, or that cannot be found out. To be
  /// called as late as possible before what cannot be undone, and let through. Inside it does nothing: there
  /// nobody takes the group.
  void verify();

 private:
  State& state_;
};

/// Where batches go; yours to write. Used by one thread: each slot of a consumer has its own.
class GroupSink {
 public:
  enum class Place {
    inside,   ///< by transaction(), exactly once; it has to be short
    outside,  ///< anywhere: at least once, or exactly once where has() knows what is there
  };
  GroupSink() = default;
  GroupSink(const GroupSink&) = delete;
  GroupSink& operator=(const GroupSink&) = delete;
  virtual ~GroupSink() = default;

  [[nodiscard]] virtual Place place() const noexcept = 0;
  /// Whether the batch is there already, from an attempt whose end was lost. Then it is not applied again.
  virtual bool has(GroupBatch& /*batch*/) { return false; }
  /// Batches come one at a time, in the order of their group. What it throws has failed, and is tried again
  /// after the feed's backoff while attempts are left; Outcome says what else. What follows waits for it.
  virtual Outcome apply(GroupBatch& batch) = 0;
};

struct GroupConsumerOptions {
  /// How a group is owned: by a lock of the session, which is free as soon as its owner is gone, or by a
  /// lease, which goes through poolers too.
  enum class Ownership { automatic, lock, lease };

  std::string feed = "default";
  std::string sink{};            ///< one that the feed has: add_sink()
  std::size_t concurrency = 16;  ///< groups at a time, each with a thread and a connection of its own
  Ownership ownership = Ownership::automatic;
  std::chrono::milliseconds poll = std::chrono::seconds(1);  ///< the longest pause between two looks
  /// How long stop() waits for sinks before it asks them to stop.
  std::chrono::milliseconds drain = std::chrono::seconds(30);
  bool once = false;  ///< run() returns when nothing is left
};

/// How often what happened, since the consumer was made.
struct GroupConsumerCounts {
  std::int64_t succeeded = 0;
  std::int64_t retried = 0;
  std::int64_t failed = 0;
  std::int64_t lost = 0;     ///< whose end was not accepted, or could not be told
  std::int64_t skipped = 0;  ///< groups that somebody else had
};

/// Consumes the batches of a feed for one of its sinks: any number of processes share them, and each group
/// has one owner at a time. Needs concurrency + 2 connections.
class GroupConsumer {
 public:
  using MakeSink = std::function<std::unique_ptr<GroupSink>()>;

  GroupConsumer(std::string_view url, const GroupConsumerOptions& options, MakeSink sinks);
  GroupConsumer(const GroupConsumer&) = delete;
  GroupConsumer& operator=(const GroupConsumer&) = delete;
  ~GroupConsumer();  ///< stops it

  /// Returns when it works; throws, and is stopped then, when it cannot. On a started one it does nothing.
  void start();
  /// Takes no more, waits for sinks, gives the groups back. Any number of times, from any thread but a
  /// sink's.
  void stop() noexcept;
  /// start(), until `stop` is requested (or nothing is left, with options.once), stop().
  void run(const std::stop_token& stop = {});

  [[nodiscard]] GroupConsumerCounts counts() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace weir
