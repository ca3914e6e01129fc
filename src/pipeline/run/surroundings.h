#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "load/load.h"
#include "load/open_source.h"
#include "pg/connector.h"
#include "pipeline/define/definition.h"

namespace weir::pipeline {

/// What a load task says, understood as `weir load` understands it.
struct LoadOrder {
  load::SourceChoice source;
  load::LoadOptions options;
};

/// What tasks find around them, on the machine of their worker.
struct Surroundings {
  std::shared_ptr<const pg::Connector> connector;    ///< for SQL of users: it has their search_path
  std::filesystem::path project;                     ///< where commands run, and files are
  std::map<std::string, std::string> connections{};  ///< of weir.yml, as written
  std::string database_url{};                        ///< for a command that asks for it
  /// Throws what is wrong with the words of a load. Injected: who reads the options of `weir load` stands
  /// above us.
  std::function<LoadOrder(const LoadBody&)> read_load{};
};

}  // namespace weir::pipeline
