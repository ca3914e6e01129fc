#pragma once

#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/database.h"
#include "weir_program.h"

namespace weir::test {

/// `weir load` in a folder of the test's own, on a database of its own with Weir's schema.
class CliLoadFixture : public SchemaTest {
 protected:
  [[nodiscard]] WeirSetup setup(const std::string& input = "") const {
    return {.env = {{"DATABASE_URL", url()}}, .folder = folder_.path(), .input = input};
  }
  WeirResult run(std::vector<std::string> words, const std::string& input = "") const {
    words.insert(words.begin() + (!words.empty() && words.front() == "--json" ? 1 : 0), "load");
    return run_weir(words, setup(input));
  }
  nlohmann::json document(std::vector<std::string> words, const std::string& input = "") const {
    // In front: behind `--` it would be a word of the command.
    words.insert(words.begin(), "--json");
    const WeirResult result = run(std::move(words), input);
    EXPECT_EQ(result.status, 0) << result.out << result.err;
    return nlohmann::json::parse(result.out);
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_.path() / name) << text;
  }
  void execute(const std::string& sql) { session().execute(sql); }
  std::string value(const std::string& sql) { return session().execute(sql)[0].get<std::string>(0); }

  ScratchFolder folder_{"load"};
};

}  // namespace weir::test
