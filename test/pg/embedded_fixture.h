#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/text.h"
#include "embedded/private_server.h"
#include "exec/child.h"
#include "exec/process.h"
#include "support/errors.h"
#include "support/processes.h"
#include "support/server.h"

namespace weir::embedded {

namespace fs = std::filesystem;

using test::error_of;
using test::gone;
using test::has;
using test::in_process;
using test::status_of;

inline Deadline soon() { return Deadline::after(std::chrono::seconds(60)); }

/// One question to the server, as a person would ask it.
inline std::string ask(const std::string& url, const std::string& sql) {
  exec::Command command;
  command.argv = {"psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql};
  const exec::Outcome outcome = exec::run_command(command, soon(), {});
  return outcome.ok() ? std::string(trim(outcome.out)) : "failed: " + outcome.err;
}

/// Stopped data, made once for all tests of the process: to copy it is far cheaper than another initdb.
class DataTemplate {
 public:
  DataTemplate() {
    ServerOptions options;
    options.project = folder_.path();
    options.durable = false;
    const PrivateServer server(options);
    server.start(soon(), {});
    server.stop(soon(), {});
  }

  static void copy_to(const fs::path& project) {
    static const DataTemplate made;
    exec::Command copy;
    copy.argv = {"cp", "-a", made.folder_.path() / ".weir", project};
    if (!exec::run_command(copy, soon(), {}).ok()) throw std::runtime_error("cannot copy the data");
  }

 private:
  test::ScratchFolder folder_{"template"};
};

/// A project folder of its own for each test. At the end no server may run that the test did not stop.
class EmbeddedServerTest : public ::testing::Test {
 protected:
  EmbeddedServerTest() { fs::create_directory(project_); }

  ~EmbeddedServerTest() override {
    try {
      PrivateServer(options()).stop(soon(), {});
    } catch (const Error& error) {
      if (fs::exists(project_ / ".weir" / "pg" / "data" / "postmaster.pid")) ADD_FAILURE() << error.what();
    }
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

  const test::ScratchFolder folder_{"embedded"};
  const fs::path base_ = folder_.path();
  fs::path project_ = base_ / "project";
};

}  // namespace weir::embedded
