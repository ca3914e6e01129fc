#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/define/common_reader.h"
#include "pipeline/define/model_sql.h"

namespace weir::pipeline {

/// A model whose references are not resolved yet, because they may lead to models that are read after it.
struct PendingModel {
  struct PendingCheck {
    Check check;
    std::string sql{};  ///< with references; empty: check.sql is whole
    SqlScan scan{};
    Position position{};
    std::string to{};         ///< of relationships: what ref() takes
    std::size_t to_goes = 0;  ///< where its relation is missing in `sql`
  };

  TaskDefinition task;
  std::vector<Link> after{};
  std::string text{};              ///< of the SQL
  std::vector<Position> places{};  ///< of each reference of `scan`
  SqlScan scan{};
  std::vector<PendingCheck> checks{};
};

/// Every .sql file below `folder` of the project, in order of its path.
std::vector<std::string> model_files(const Files& files, const std::string& folder, Diagnostics& diagnostics);

/// `folder` is that of the models: the first folder below it is the schema.
PendingModel read_model(const std::string& file, const std::string& folder, const PipelineScope& scope,
                        Diagnostics& diagnostics);

/// What ref() and `to` may name, and which task makes it.
struct RefTarget {
  int task = 0;
  std::string relation;
  bool ambiguous = false;
};
using RefTargets = std::map<std::string, RefTarget, std::less<>>;

/// Puts relations in place of references; answers the tasks that come before the model, whose own number is
/// `self`.
std::vector<int> resolve_model(PendingModel& model, int self, const RefTargets& targets,
                               Diagnostics& diagnostics);

}  // namespace weir::pipeline
