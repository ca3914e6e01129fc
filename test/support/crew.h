#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <sys/types.h>

namespace weir::test {

/// Processes of this test program, each of which runs one disabled test that is told by its environment what
/// to do: to be killed, frozen and stopped.
class Crew {
 public:
  using Environment = std::map<std::string, std::string>;

  /// `test`: Suite.DISABLED_Name. What the processes print goes to files in `folder`.
  Crew(std::string test, std::filesystem::path folder, std::size_t size);
  ~Crew();  ///< whoever lives is killed
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  [[nodiscard]] std::size_t size() const noexcept { return pids_.size(); }
  [[nodiscard]] pid_t pid(std::size_t index) const { return pids_.at(index); }
  void start(std::size_t index, const Environment& environment);
  /// SIGKILL; a failure of the test when it had ended by itself.
  void kill(std::size_t index);
  void freeze(std::size_t index) const;
  void thaw(std::size_t index) const;
  /// SIGTERM; a failure of the test where it does not end with status 0.
  void stop(std::size_t index);
  /// SIGTERM to all; a failure of the test where one does not end with status 0.
  void stop_all();

  /// The last lines of each, for a test that failed.
  void show_logs() const;
  /// A failure of the test where a process printed this.
  void expect_never_said(const std::string& text) const;

 private:
  [[nodiscard]] std::vector<std::string> lines_of(std::size_t index) const;

  std::string test_;
  std::filesystem::path folder_;
  std::vector<pid_t> pids_;
};

/// Of the environment, for tests that ./dev chaos runs at full size.
std::int64_t number_of(const char* name, std::int64_t otherwise);

}  // namespace weir::test
