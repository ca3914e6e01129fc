#include <cstdlib>

#include "pipeline_scene.h"
#include "suites.h"

namespace weir::bench {

std::vector<Measurement> bench_pipeline(Scene& plain) {
  PipelineScene scene(plain);
  std::vector<Measurement> results;
  const auto add = [&](std::vector<Measurement> some) {
    for (Measurement& each : some) results.push_back(std::move(each));
  };
  if (plain.wants("sql")) add({bench_sql_chain(scene)});
  if (plain.wants("process")) add({bench_process_chain(scene, "true", {"/bin/true"}, "/bin/true", 40)});
  const char* const fib = std::getenv("WEIR_BENCH_FIB");
  if (fib != nullptr && plain.wants("fib")) {
    add({bench_process_chain(scene, "fib10", {fib, "10"}, "fib(10) in C", 40),
         bench_process_chain(scene, "fib33", {fib, "33"}, "fib(33) in C", 10)});
  }
  if (plain.wants("throughput")) add({bench_throughput(scene)});
  if (plain.wants("idle")) add(bench_idle_pipelines(scene));
  // Each in a history of its own: the first would be in the way of the second.
  if (plain.wants("history")) add(bench_history(scene));
  if (plain.wants_by_name("acceptance")) add(bench_acceptance(scene));
  return results;
}

}  // namespace weir::bench
