#include "support/pipeline_worker_test.h"

#include "schema/queries/pipelines.h"
#include "support/project_text.h"
#include "support/waiting.h"

namespace weir::test {

using namespace pipeline;
using namespace std::chrono_literals;

void PipelineWorkerTest::SetUp() {
  PipelineTest::SetUp();
  std::string pattern = (std::filesystem::temp_directory_path() / "weir-project-XXXXXX").string();
  folder_ = ::mkdtemp(pattern.data());
  std::filesystem::create_directories(folder_ / "pipelines/p");
}

void PipelineWorkerTest::TearDown() {
  worker_.reset();
  std::filesystem::remove_all(folder_);
  PipelineTest::TearDown();
}

void PipelineWorkerTest::deploy_text(const std::string& text) {
  auto read = read_pipeline_text(text);
  ASSERT_TRUE(read.diagnostics.ok()) << to_text(read.diagnostics);
  deploy(*sql_, read.project);
}

std::unique_ptr<Worker> PipelineWorkerTest::make_worker(std::size_t slots) {
  Surroundings at{.connector = std::make_shared<const pg::Connector>(users_connector()), .project = folder_};
  // Longer than a busy machine keeps it from renewing it.
  return std::make_unique<Worker>(std::move(at), WorkerOptions{.slots = slots, .lease = 60s, .drain = 10s});
}

void PipelineWorkerTest::start_worker(std::size_t slots) {
  worker_ = make_worker(slots);
  worker_->start();
}

std::int64_t PipelineWorkerTest::run() {
  const auto found = sql_->run<sql::FindPipeline>("p");
  return start_run(found.one().id);
}

void PipelineWorkerTest::until(const std::string& condition) {
  wait_until([&] { return text("SELECT " + condition) == "true"; }, condition);
}

std::string PipelineWorkerTest::ended(std::int64_t run) {
  const std::string from = " FROM weir.run_done WHERE id = " + std::to_string(run);
  until("EXISTS (SELECT" + from + ")");
  return text("SELECT state" + from);
}

std::string PipelineWorkerTest::said(std::int64_t run) {
  return text(
      "SELECT string_agg(line, '|' ORDER BY l.at, n) FROM weir.task_log l, unnest(l.numbers, l.lines) u(n, "
      "line) WHERE l.run_id = " +
      std::to_string(run));
}

void PipelineWorkerTest::terminate_slots() {
  sql_->execute(
      "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND "
      "application_name LIKE 'weir:task:p%'");
}

}  // namespace weir::test
