#pragma once

#include "pipeline/define/common_reader.h"
#include "pipeline/define/placeholder.h"
#include "pipeline/define/task_reader.h"

namespace weir::pipeline {

/// Environment and folder of `run`, `shell` and `load`.
std::map<std::string, std::string> read_env(Reading& reading, Fields& task, const Allowed& values);
std::string read_folder(Reading& reading, Fields& task, const Files& files);

/// `fields` is what is behind `load` or `wait`, `task` what it is in.
LoadBody read_load(Reading& reading, Fields fields, Fields& task, const ProjectScope& project,
                   const Allowed& values);
WaitBody read_wait(Reading& reading, Fields fields, const PipelineScope& scope, const Allowed& values,
                   TaskLinks& links);

/// The name behind a key `connection`; empty where there is none.
std::string read_connection(Reading& reading, Fields& fields, const ProjectScope& project);

}  // namespace weir::pipeline
