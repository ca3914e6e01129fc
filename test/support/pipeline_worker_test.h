#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "pipeline/run/deploy.h"
#include "pipeline/run/worker.h"
#include "support/pipeline_test.h"

namespace weir::test {

/// A test of pipelines from their text to their history: deployed as `p`, run by workers of this process.
class PipelineWorkerTest : public PipelineTest {
 protected:
  void SetUp() override;
  void TearDown() override;

  void deploy_text(const std::string& text);
  std::unique_ptr<pipeline::Worker> make_worker(std::size_t slots);
  void start_worker(std::size_t slots = 4);
  std::int64_t run();
  void until(const std::string& condition);
  /// Its state when it has ended.
  std::string ended(std::int64_t run);
  /// The lines of its log.
  std::string said(std::int64_t run);
  /// The server processes of the slots of workers: those that run SQL of tasks.
  void terminate_slots();

  std::filesystem::path folder_;
  std::unique_ptr<pipeline::Worker> worker_;
};

}  // namespace weir::test
