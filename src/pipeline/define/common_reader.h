#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "pipeline/define/definition.h"
#include "pipeline/define/fields.h"
#include "pipeline/define/files.h"

namespace weir::pipeline {

/// What `defaults` may say.
struct Defaults {
  std::string pool = "default";
  int priority = 0;
  Retry retry{};
  std::optional<Duration> timeout{};
};

/// Throws what is wrong with the words of a load, in those of `weir load`. Injected: who reads these stands
/// above us.
using LoadCheck = std::function<void(const LoadBody&)>;

/// What the reader of a pipeline knows of the rest of the project.
struct ProjectScope {
  const Files& files;
  std::map<std::string, std::optional<int>> pools{};  ///< by name; nothing: no limit
  std::set<std::string, std::less<>> connections{};
  Defaults defaults{};
  std::vector<Alert> alerts{};
  LoadCheck check_load{};
};

/// A pipeline while it is read.
struct PipelineScope {
  const ProjectScope& project;
  Defaults defaults{};
  std::set<std::string, std::less<>> parameters{};
};

/// Over `base`; reports a pool that is not there.
Defaults read_defaults(Reading& reading, Fields fields, Defaults base, const ProjectScope& project);
std::vector<Alert> read_alerts(Reading& reading, Fields& file);
/// retry: 3, or a mapping.
Retry read_retry(Reading& reading, Fields& fields, const Retry& otherwise);

/// `after` of a task, and every other name that becomes an edge once all tasks are known.
struct Link {
  std::string name;
  Position position;
};

/// The keys that tasks and models share. Names of `after` are given to `links`.
void read_scheduling(Reading& reading, Fields& fields, const PipelineScope& scope, TaskDefinition& task,
                     std::vector<Link>& links);

/// A path in a file of the project, from the project; empty, and reported, where there is no such file (or
/// folder).
std::string read_path(Reading& reading, const Said& said, const Files& files, Files::What wanted);

}  // namespace weir::pipeline
