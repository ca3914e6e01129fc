#include <charconv>
#include <fstream>
#include <thread>

#include "exec/child.h"
#include "queue_scene.h"

namespace weir::bench {
namespace {

constexpr int kJobs = 200'000;

/// The most that the process ever had in memory, in MB; 0 when it is gone.
double peak_memory(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with("VmHWM:")) continue;
    return std::stod(line.substr(line.find_first_of("0123456789"))) * 1024 / 1e6;
  }
  return 0;
}

}  // namespace

/// `weir worker` with four slots of SQL works off 200,000 jobs.
Measurement bench_memory(QueueScene& scene) {
  scene.fill(kJobs);
  exec::Command command;
  command.argv = {::getenv("WEIR_BINARY"),
                  "worker",
                  "--once",
                  "--queue",
                  "bench",
                  "--sql",
                  "SELECT count(payload) FROM weir_job",
                  "--database-url",
                  scene.plain().url()};
  exec::Child worker(command);
  double most = 0;
  std::jthread watch([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      most = std::max(most, peak_memory(worker.pid()));
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  });
  const exec::Outcome outcome = worker.wait(Deadline::after(std::chrono::minutes(5)), {});
  watch.request_stop();
  watch.join();
  if (!outcome.ok()) throw Error(ExitCode::failed, "weir worker: " + outcome.describe() + ": " + outcome.err);
  return {.name = "memory of a worker with 4 slots, at most, 200,000 jobs",
          .value = most,
          .unit = "MB",
          .target = 30,
          .higher_is_better = false};
}

}  // namespace weir::bench
