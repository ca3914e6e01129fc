#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "pipeline/define/definition.h"
#include "pipeline/run/task_endings.h"
#include "support/database.h"

namespace weir::test {

/// A test of pipelines: a database with Weir's schema, definitions made in code, and what workers do as SQL
/// does it.
class PipelineTest : public SchemaTest {
 protected:
  void SetUp() override;
  void TearDown() override;

  struct Task {
    std::vector<int> after{};
    pipeline::TriggerRule rule = pipeline::TriggerRule::all_success;
    std::string pool = "default";
    int slots = 1;
    int priority = 0;
    bool allow_failure = false;
  };
  /// Tasks t0, t1, .. of it; `after` names lower ones.
  static pipeline::PipelineDefinition define(const std::string& name, const std::vector<Task>& tasks);
  std::int32_t store(const pipeline::PipelineDefinition& definition);
  /// A run by hand, started if there is room.
  std::int64_t start_run(std::int32_t pipeline);
  std::int64_t process();

  std::vector<pipeline::TaskAttempt> claim(pg::Session& session, std::int64_t worker, std::int64_t number,
                                           int wanted);
  /// `number` counts the worker's claims.
  std::vector<pipeline::TaskNews> finish(pg::Session& session, const pipeline::TaskAttempt& attempt,
                                         std::string_view state, const std::string& error = {});
  /// The same, and all that follows from it.
  void end(pg::Session& session, const pipeline::TaskAttempt& attempt, std::string_view state);
  /// "t0 success, t1 waiting", by task, of a run that lives or has ended.
  std::string states(std::int64_t run);
  std::string text(const std::string& sql);

  std::optional<pg::Session> sql_;

 private:
  int runs_ = 0;
};

}  // namespace weir::test
