#pragma once

#include <string>
#include <vector>

#include "pipeline/define/definition.h"

namespace weir::pipeline {

struct FieldChange {
  std::string field;   ///< "schedule.cron", "retry.attempts", "sql.text"
  std::string before;  ///< JSON; empty: it was not said, so it was the default
  std::string after;   ///< the same
};

struct TaskChange {
  enum class Kind : std::uint8_t { added, removed, changed };
  Kind kind = Kind::changed;
  std::string task;
  std::vector<FieldChange> fields{};  ///< of `changed`
};

/// What a deploy would change. Tasks are told apart by their names; a change of their order alone is none.
struct DefinitionDiff {
  std::vector<FieldChange> pipeline{};
  std::vector<TaskChange> tasks{};  ///< in the order of the new definition, then what is gone

  [[nodiscard]] bool empty() const noexcept { return pipeline.empty() && tasks.empty(); }
};

DefinitionDiff diff(const PipelineDefinition& before, const PipelineDefinition& after);

}  // namespace weir::pipeline
