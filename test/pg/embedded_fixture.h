#pragma once

#include <filesystem>
#include <functional>
#include <iostream>
#include <stdexcept>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/text.h"
#include "embedded/private_server.h"
#include "exec/child.h"
#include "exec/process.h"

namespace weir::embedded {

namespace fs = std::filesystem;

inline Deadline soon() { return Deadline::after(std::chrono::seconds(60)); }

inline bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

template <class Action>
Error error_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  return Error(ExitCode::ok, "nothing was thrown");
}

/// One question to the server, as a person would ask it.
inline std::string ask(const std::string& url, const std::string& sql) {
  exec::Command command;
  command.argv = {"psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql};
  const exec::Outcome outcome = exec::run_command(command, soon(), {});
  return outcome.ok() ? std::string(trim(outcome.out)) : "failed: " + outcome.err;
}

inline bool gone(int pid) {
  const auto process = exec::Process::find(pid);
  return !process || process->wait_end(soon(), {}) == WaitEnd::ready;
}

/// Runs `work` in a forked process; its return value is the exit status.
inline pid_t in_process(const std::function<int()>& work) {
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  int status = 99;
  try {
    status = work();
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
  }
  ::_exit(status);
}

inline int status_of(pid_t pid) {
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// Stopped data, made once for all tests of the process: to copy it is far cheaper than another initdb.
class DataTemplate {
 public:
  DataTemplate() {
    std::string name = fs::temp_directory_path() / "weir-embedded-template-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    fs::permissions(folder_, fs::perms(0755));
    ServerOptions options;
    options.project = folder_;
    options.durable = false;
    const PrivateServer server(options);
    server.start(soon(), {});
    server.stop(soon(), {});
  }
  ~DataTemplate() { fs::remove_all(folder_); }
  DataTemplate(const DataTemplate&) = delete;
  DataTemplate& operator=(const DataTemplate&) = delete;

  static void copy_to(const fs::path& project) {
    static const DataTemplate made;
    exec::Command copy;
    copy.argv = {"cp", "-a", made.folder_ / ".weir", project};
    if (!exec::run_command(copy, soon(), {}).ok()) throw std::runtime_error("cannot copy the data");
  }

 private:
  fs::path folder_;
};

/// A project folder of its own for each test. At the end no server may run that the test did not stop.
class EmbeddedServerTest : public ::testing::Test {
 protected:
  EmbeddedServerTest() {
    std::string name = fs::temp_directory_path() / "weir-embedded-XXXXXX";
    base_ = ::mkdtemp(name.data());
    fs::permissions(base_, fs::perms(0755));
    project_ = base_ / "project";
    fs::create_directory(project_);
  }

  ~EmbeddedServerTest() override {
    try {
      PrivateServer(options()).stop(soon(), {});
    } catch (const Error& error) {
      if (fs::exists(project_ / ".weir" / "pg" / "data" / "postmaster.pid")) ADD_FAILURE() << error.what();
    }
    fs::remove_all(base_);
  }

  [[nodiscard]] ServerOptions options() const {
    ServerOptions options;
    options.project = project_;
    options.durable = false;
    options.system_folder = base_ / "system";
    return options;
  }
  [[nodiscard]] PrivateServer server() const { return PrivateServer(options()); }
  ServerStatus start() { return server().start(soon(), {}); }
  /// Instead of a first start, for tests of what comes later.
  void make_data() { DataTemplate::copy_to(project_); }

  fs::path base_;
  fs::path project_;
};

}  // namespace weir::embedded
