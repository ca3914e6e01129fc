#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "embedded/private_server.h"
#include "pg/connector.h"

namespace weir::bench {

/// A private PostgreSQL with the settings that `weir up` gives it, for one run of benchmarks, and the tools
/// that the same work is measured with.
class Scene {
 public:
  /// `only`: one part of a suite, or empty for all of it.
  explicit Scene(std::string only = {});
  ~Scene();
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;

  [[nodiscard]] const pg::Connector& connector() const noexcept { return *connector_; }
  [[nodiscard]] pg::Session session() const { return connector_->connect(pg::Role::api, "bench"); }
  [[nodiscard]] bool wants(std::string_view part) const noexcept { return only_.empty() || only_ == part; }
  /// For what takes minutes.
  [[nodiscard]] bool wants_by_name(std::string_view part) const noexcept { return only_ == part; }
  [[nodiscard]] std::string url() const { return status_.url; }
  [[nodiscard]] std::string server_version() const;
  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }

  /// Runs a tool of PostgreSQL's to its end and answers its standard output; throws when it fails.
  [[nodiscard]] std::string run_tool(std::vector<std::string> argv) const;
  /// Transactions a second of a script, each client `transactions` times.
  [[nodiscard]] double pgbench(const std::string& name, const std::string& script, int clients,
                               int transactions, const std::vector<std::string>& more = {}) const;

 private:
  std::string only_;
  std::filesystem::path folder_;
  embedded::PrivateServer server_;
  embedded::ServerStatus status_;
  std::unique_ptr<pg::Connector> connector_;
};

double seconds_of(const std::function<void()>& work);

/// Runs `ours` and `theirs` in turn, `rounds` times after one round of warming up, so that both meet the same
/// machine. Answers the medians.
struct Pair {
  double ours;
  double theirs;
};
Pair in_turn(int rounds, const std::function<double()>& ours, const std::function<double()>& theirs);

}  // namespace weir::bench
