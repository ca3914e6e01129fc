#include <fmt/format.h>

#include "exec/child.h"
#include "pipeline_scene.h"

namespace weir::bench {
namespace {

using namespace std::chrono_literals;
using namespace pipeline;

constexpr int kChain = 40;

/// The median time of a task in a chain, in milliseconds.
double chain(PipelineScene& scene, const std::string& name, const decltype(TaskDefinition::body)& body,
             int tasks) {
  const std::int32_t pipeline = scene.store(name, body, tasks, true);
  const auto worker = scene.worker(1);
  scene.run(pipeline);
  std::vector<double> each;
  for (int i = 0; i < kPipelineRounds; ++i) each.push_back(scene.run(pipeline) * 1000 / tasks);
  worker->stop();
  return median(each);
}

double bare_process_ms(const std::vector<std::string>& argv, int times) {
  return seconds_of([&] {
           for (int i = 0; i < times; ++i) exec::run_command({.argv = argv}, Deadline::after(60s), {});
         }) *
         1000 / times;
}

}  // namespace

Measurement bench_sql_chain(PipelineScene& scene) {
  return {.name = "a task of a chain of 40, SQL `SELECT 1`",
          .value = chain(scene, "sql", SqlBody{.text = "SELECT 1"}, kChain),
          .unit = "ms",
          .target = 2.0,
          .higher_is_better = false};
}

Measurement bench_process_chain(PipelineScene& scene, const std::string& name,
                                const std::vector<std::string>& argv, const std::string& what, int tasks) {
  const double ours = chain(scene, name, RunBody{.argv = argv}, tasks);
  const double bare = bare_process_ms(argv, tasks);
  return {
      .name = fmt::format("overhead of a task of a chain of {}, {} ({:.2f} ms by itself)", tasks, what, bare),
      .value = ours - bare,
      .unit = "ms",
      .target = 3.0,
      .higher_is_better = false};
}

}  // namespace weir::bench
