#include "pipeline/run/definitions.h"

#include "pipeline/define/definition_json.h"
#include "schema/queries/tasks.h"

namespace weir::pipeline {

std::shared_ptr<const PipelineDefinition> Definitions::get(pg::Session& session, std::int32_t pipeline,
                                                           std::int32_t version) {
  if (auto known = find(pipeline, version)) return known;
  const auto rows = session.run<sql::TaskDefinition>(pipeline, version);
  std::shared_ptr<const PipelineDefinition> read;
  try {
    read = std::make_shared<const PipelineDefinition>(pipeline_from_json(rows.one().definition.text));
  } catch (const std::exception&) {
    const MutexLock lock(mutex_);
    avoided_.insert(std::int64_t{pipeline} << 32 | version);
    throw;
  }
  const MutexLock lock(mutex_);
  if (known_.size() >= kMost) known_.erase(known_.begin());
  return known_.insert_or_assign({pipeline, version}, std::move(read)).first->second;
}

std::vector<std::int64_t> Definitions::avoided() const {
  const MutexLock lock(mutex_);
  return {avoided_.begin(), avoided_.end()};
}

std::shared_ptr<const PipelineDefinition> Definitions::find(std::int32_t pipeline,
                                                            std::int32_t version) const {
  const MutexLock lock(mutex_);
  const auto found = known_.find({pipeline, version});
  return found == known_.end() ? nullptr : found->second;
}

}  // namespace weir::pipeline
