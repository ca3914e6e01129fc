#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "group/consumer.h"
#include "group/recovery_connection.h"
#include "support/database.h"

namespace weir::test {

/// Holds up who passes, until it is opened; and tells who waits for them that they came.
class Gate {
 public:
  /// False where `stop` was requested first.
  bool pass(const std::stop_token& stop = {});
  void open();
  /// Until so many have come to it, whether they passed or not.
  void wait_for(int arrivals);

 private:
  Mutex mutex_;
  std::condition_variable_any changed_;
  int arrivals_ WEIR_GUARDED_BY(mutex_) = 0;
  bool open_ WEIR_GUARDED_BY(mutex_) = false;
};

/// As the arguments of weir.submit_batch().
struct Submission {
  std::optional<std::string> run{};
  std::optional<std::int32_t> idx{};
  std::optional<bool> final{};
  bool supersede = false;
  std::string payload = "{}";
};

/// A test of groups: Weir's schema with the feed "default", which tries again at once, and a table of
/// effects.
class GroupTest : public SchemaTest {
 protected:
  /// For tests that need one group and care not which.
  inline static const group::GroupKey kGroup{"t", "k"};

  using Function = std::function<work::Outcome(const group::Batch&, const group::Application&)>;
  void SetUp() override;
  void TearDown() override;

  group::SinkDefinition add_sink(const std::string& name, std::optional<std::string> after = std::nullopt);
  /// Of all feeds. Who has read the sink's definition before does not know it.
  void set_feed(const std::string& assignments);
  /// "17.0"
  std::string submit(const group::GroupKey& group, const Submission& batch = {});
  void submit_run(const group::GroupKey& group, const std::string& run, int batches);

  std::int64_t number(const std::string& sql);
  std::string text(const std::string& sql);
  /// "0/1 succeeded, 1/1 retry": index, attempt and outcome of what was tried, in order.
  std::string history(const std::string& sink);
  /// The indices of the batches that have an effect at the sink, in the order in which they had it: "0 1 2".
  std::string effects(const std::string& sink);

  /// Each slot's sink calls the same function.
  static group::SinkFactory inside(Function function);
  static group::SinkFactory outside(Function function);
  /// Writes the batch to the table of effects: in its transaction, or else by a session of its own.
  static work::Outcome affect(pg::Session& session, const std::string& sink, const group::Batch& batch);
  group::SinkFactory inside_effect(const std::string& sink);
  group::SinkFactory outside_effect(const std::string& sink);

  std::unique_ptr<group::Consumer> consumer(group::ConsumerOptions options, group::SinkFactory sinks);
  /// Until nothing is left; its options say once.
  static void work_off(group::Consumer& consumer);
  void work_off(group::ConsumerOptions options, group::SinkFactory sinks);

  [[nodiscard]] group::GroupConnection connection() const;
  /// A sweep. Answers how many groups were taken from those who are gone.
  std::size_t recover(const group::SinkDefinition& sink);
  /// Server processes of the database whose application_name begins so.
  std::vector<int> backends(const std::string& name);
  /// Ends leases now that would have ended some time.
  void expire_leases();

  std::optional<pg::Session> one_;
};

}  // namespace weir::test
