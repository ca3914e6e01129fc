#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/define/definition.h"
#include "pipeline/run/worker.h"
#include "report.h"
#include "scene.h"

namespace weir::bench {

inline constexpr int kPipelineRounds = 5;

double median(std::vector<double> values);

/// Weir's schema in the scene's database, and pipelines that are made in code.
class PipelineScene {
 public:
  explicit PipelineScene(Scene& plain);

  [[nodiscard]] pg::Session& session() noexcept { return session_; }
  /// Where the server's data is.
  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return plain_.folder(); }

  /// `count` tasks of that body, each after the one before where `chained`.
  std::int32_t store(const std::string& name, const decltype(pipeline::TaskDefinition::body)& body, int count,
                     bool chained, int max_active_runs = 1);
  std::int32_t store(const pipeline::PipelineDefinition& definition);
  /// Started.
  std::unique_ptr<pipeline::Worker> worker(std::size_t slots);
  /// Seconds from the start of a run to its end, by the server's clock.
  double run(std::int32_t pipeline);

 private:
  Scene& plain_;
  pg::Session session_;
};

// Each in a file of its own.
Measurement bench_sql_chain(PipelineScene& scene);
Measurement bench_process_chain(PipelineScene& scene, const std::string& name,
                                const std::vector<std::string>& argv, const std::string& what, int tasks);
Measurement bench_throughput(PipelineScene& scene);
std::vector<Measurement> bench_idle_pipelines(PipelineScene& scene);
std::vector<Measurement> bench_history(PipelineScene& scene);
std::vector<Measurement> bench_acceptance(PipelineScene& scene);

}  // namespace weir::bench
