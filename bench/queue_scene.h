#pragma once

#include <string>
#include <vector>

#include "queue/kinds.h"
#include "queue/worker.h"
#include "report.h"
#include "scene.h"

namespace weir::bench {

inline constexpr int kQueueRounds = 3;

/// A database with weir's tables, queue `bench`, and workers on it.
class QueueScene {
 public:
  explicit QueueScene(Scene& plain);

  [[nodiscard]] Scene& plain() noexcept { return plain_; }
  [[nodiscard]] pg::Session& session() noexcept { return session_; }

  /// That many jobs and no others wait.
  void fill(int jobs);
  void add(int jobs);

  /// Handlers by kind; may be changed until a worker is made.
  [[nodiscard]] queue::Kinds::Functions& functions() noexcept { return functions_; }
  [[nodiscard]] std::unique_ptr<queue::Worker> worker(queue::WorkerOptions options);
  /// Jobs a second, from the start of a worker until nothing is left.
  double work_off(int jobs, queue::Delivery delivery, std::size_t slots);

 private:
  Scene& plain_;
  pg::Session session_;
  queue::Kinds::Functions functions_;
};

/// From enqueue() to the start of the handler where nothing else is to do: milliseconds, in order. Of
/// `bench`, or of `queue` with a worker for all queues that there are.
std::vector<double> start_latencies(QueueScene& scene, int tries, const std::string& queue = {});

/// Parts of suite queue.
Measurement bench_leased(QueueScene& scene);
Measurement bench_transactional(QueueScene& scene);
Measurement bench_held_snapshot(QueueScene& scene);
Measurement bench_enqueue(QueueScene& scene);
std::vector<Measurement> bench_idle_latency(QueueScene& scene);
Measurement bench_idle_load(QueueScene& scene);
std::vector<Measurement> bench_crowd(QueueScene& scene);
Measurement bench_memory(QueueScene& scene);
std::vector<Measurement> bench_peers(QueueScene& scene);

}  // namespace weir::bench
