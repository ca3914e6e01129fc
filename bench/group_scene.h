#pragma once

#include <string>
#include <vector>

#include "group/consumer.h"
#include "report.h"
#include "scene.h"

namespace weir::bench {

inline constexpr int kGroupRounds = 3;

/// A database with weir's tables, a feed, and batches of its groups.
class GroupScene {
 public:
  explicit GroupScene(Scene& plain);

  [[nodiscard]] Scene& plain() noexcept { return plain_; }
  [[nodiscard]] pg::Session& session() noexcept { return session_; }

  /// No feed but this one, with one sink of each of these names; nothing is left of what was before.
  void make(const std::vector<std::string>& sinks, Duration lease = std::chrono::seconds(60));
  /// So many groups of so many tenants, each with one run of so many batches.
  void submit(const std::string& tenants, int count, int groups_each, int batches_each);

  [[nodiscard]] std::unique_ptr<group::Consumer> consumer(const std::string& sink, group::SinkFactory sinks,
                                                          group::ConsumerOptions options = {});
  /// Batches a second of a consumer that ends when nothing is left, start and end included. Throws where one
  /// of them did not succeed.
  double consume(const std::string& sink, const group::SinkFactory& sinks, group::Ownership ownership);

  /// Asks until it is true.
  void wait_until(const std::string& condition);
  /// Of what a query answers in its one column, in milliseconds.
  struct Spread {
    double p50 = 0;
    double p99 = 0;
    double most = 0;
    std::int64_t count = 0;
  };
  Spread spread(const std::string& query);

 private:
  Scene& plain_;
  pg::Session session_;
};

inline constexpr std::string_view kFeed = "bench";

/// A row for each batch, in the transaction of its status.
group::SinkFactory inside_sink();
/// Nothing, or a pause for each batch.
group::SinkFactory outside_sink(Duration pause = {});

/// Parts of suite group.
std::vector<Measurement> bench_group_work(GroupScene& scene);
std::vector<Measurement> bench_group_handover(GroupScene& scene);
std::vector<Measurement> bench_group_wake(GroupScene& scene);
std::vector<Measurement> bench_group_fairness(GroupScene& scene);
std::vector<Measurement> bench_group_recovery(GroupScene& scene);
std::vector<Measurement> bench_group_poll(GroupScene& scene, std::int64_t history);

/// The consumer that `recovery` kills: takes groups and holds them until it is killed.
int hold_groups(const std::string& url, const std::string& ownership);

}  // namespace weir::bench
