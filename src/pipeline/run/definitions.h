#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "pg/session.h"
#include "pipeline/define/definition.h"

namespace weir::pipeline {

/// Definitions as they were deployed, read once each. A version never changes. Any thread, each with its own
/// session.
class Definitions {
 public:
  /// Throws where it cannot be read: also when a newer Weir has written it. Whatever is no error of the
  /// server is for good: then it is one of avoided().
  std::shared_ptr<const PipelineDefinition> get(pg::Session& session, std::int32_t pipeline,
                                                std::int32_t version);
  /// Null when it is not known yet.
  [[nodiscard]] std::shared_ptr<const PipelineDefinition> find(std::int32_t pipeline,
                                                               std::int32_t version) const;

  /// Those that cannot be read here, and so are left to other processes: pipeline << 32 | version.
  [[nodiscard]] std::vector<std::int64_t> avoided() const;

 private:
  /// Old versions go when there are so many.
  static constexpr std::size_t kMost = 2000;

  mutable Mutex mutex_;
  std::map<std::pair<std::int32_t, std::int32_t>, std::shared_ptr<const PipelineDefinition>> known_
      WEIR_GUARDED_BY(mutex_);
  std::set<std::int64_t> avoided_ WEIR_GUARDED_BY(mutex_);
};

}  // namespace weir::pipeline
