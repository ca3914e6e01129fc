#include "support/crew.h"

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <fmt/format.h>

#include "support/processes.h"

namespace weir::test {

Crew::Crew(std::string test, std::filesystem::path folder, std::size_t size)
    : test_("--gtest_filter=" + std::move(test)), folder_(std::move(folder)), pids_(size, 0) {}

Crew::~Crew() {
  for (const pid_t pid : pids_) {
    if (pid == 0) continue;
    ::kill(pid, SIGKILL);
    status_of(pid);
  }
}

void Crew::start(std::size_t index, const Environment& environment) {
  const std::string log = (folder_ / fmt::format("crew-{}", index)).string();
  const SigtermWaits from_its_first_moment;
  const pid_t pid = ::fork();
  if (pid != 0) {
    pids_.at(index) = pid;
    return;
  }
  for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
  const int out = ::open(log.c_str(), O_WRONLY | O_APPEND | O_CREAT, 0644);
  ::dup2(out, 1);
  ::dup2(out, 2);
  ::execl("/proc/self/exe", "weir_chaos_tests", test_.c_str(), "--gtest_also_run_disabled_tests", nullptr);
  ::_exit(127);
}

void Crew::kill(std::size_t index) {
  ::kill(pids_.at(index), SIGKILL);
  EXPECT_EQ(status_of(std::exchange(pids_.at(index), 0)), 128 + SIGKILL) << index << " ended by itself";
}

void Crew::freeze(std::size_t index) const { ::kill(pids_.at(index), SIGSTOP); }
void Crew::thaw(std::size_t index) const { ::kill(pids_.at(index), SIGCONT); }

void Crew::stop(std::size_t index) {
  ::kill(pids_.at(index), SIGTERM);
  EXPECT_EQ(status_of(std::exchange(pids_.at(index), 0)), 0) << index << " did not end in order";
}

void Crew::stop_all() {
  for (const pid_t pid : pids_) {
    if (pid != 0) ::kill(pid, SIGTERM);
  }
  for (pid_t& pid : pids_) {
    if (pid == 0) continue;
    EXPECT_EQ(status_of(std::exchange(pid, 0)), 0);
  }
}

std::vector<std::string> Crew::lines_of(std::size_t index) const {
  std::ifstream log(folder_ / fmt::format("crew-{}", index));
  std::vector<std::string> lines;
  for (std::string line; std::getline(log, line);) lines.push_back(line);
  return lines;
}

void Crew::show_logs() const {
  constexpr std::size_t kLast = 40;
  for (std::size_t i = 0; i < size(); ++i) {
    const auto lines = lines_of(i);
    for (std::size_t n = lines.size() > kLast ? lines.size() - kLast : 0; n < lines.size(); ++n)
      fmt::print("process {}: {}\n", i, lines[n]);
  }
}

void Crew::expect_never_said(const std::string& text) const {
  for (std::size_t i = 0; i < size(); ++i) {
    for (const std::string& line : lines_of(i))
      EXPECT_EQ(line.find(text), std::string::npos) << "process " << i << ": " << line;
  }
}

std::int64_t number_of(const char* name, std::int64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? otherwise : std::strtoll(value, nullptr, 10);
}

}  // namespace weir::test
