#pragma once

#include <vector>

#include "pipeline/define/common_reader.h"

namespace weir::pipeline {

/// What tasks name that is known only when all were read.
struct TaskLinks {
  std::vector<Link> after;      ///< tasks of the pipeline
  std::vector<Link> pipelines;  ///< that it waits for
};

/// `name: {..}` of `tasks`. Every mistake is reported; the task is whole enough to go on with.
TaskDefinition read_task(Reading& reading, const yaml::Member& member, const PipelineScope& scope,
                         TaskLinks& links);

/// A file of SQL in the project; empty, and reported, where it cannot be used.
std::string read_sql_file(Reading& reading, const yaml::Node& node, const std::string& path,
                          const Files& files);

}  // namespace weir::pipeline
