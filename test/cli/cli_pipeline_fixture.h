#pragma once

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/database.h"
#include "weir_program.h"

namespace weir::test {

/// Of CliPipelines: what the pipeline shop is unless a test says otherwise.
inline constexpr const char* kShop = R"yaml(
schedule: {cron: "0 6 * * *", start: 2026-01-01, end: 2026-02-01}
parameters: {country: {choices: [de, fr], default: de}, limit: {type: integer, default: 3}}
tasks:
  take: {shell: "echo taking $WEIR_PARAM_COUNTRY; test ! -e broken"}
  keep: {after: take, sql: "insert into kept values (weir.run_id(), weir.param('country'))"}
)yaml";

/// A project folder and a database of its own, and the program as a user has it.
class CliPipelines : public SchemaTest {
 protected:
  void SetUp() override {
    SchemaTest::SetUp();
    pg::Session session = this->session();
    session.execute("CREATE TABLE kept (run int8, country text)");
    put("weir.yml", "name: demo\npools: {narrow: 1}\n");
    put("pipelines/shop/pipeline.yml", kShop);
  }

  void put(const std::filesystem::path& file, const std::string& text) const {
    std::filesystem::create_directories((folder_.path() / file).parent_path());
    std::ofstream(folder_.path() / file) << text;
  }
  [[nodiscard]] WeirSetup setup() const {
    return {.env = {{"DATABASE_URL", url()}, {"PGPASSFILE", "/nowhere"}}, .folder = folder_.path()};
  }
  [[nodiscard]] WeirResult weir(const std::vector<std::string>& words) const {
    return run_weir(words, setup());
  }
  [[nodiscard]] nlohmann::json document(std::vector<std::string> words) const {
    words.emplace_back("--json");
    const WeirResult result = weir(words);
    return nlohmann::json::parse(result.out, nullptr, false);
  }
  /// The pipeline with this text instead.
  void deploy(const std::string& text = kShop) const {
    put("pipelines/shop/pipeline.yml", text);
    const WeirResult done = weir({"deploy"});
    ASSERT_EQ(done.status, 0) << done.err;
  }
  /// A run that is made and waits for a worker; its number.
  [[nodiscard]] std::string make_run(std::vector<std::string> more = {}) const {
    std::vector<std::string> words{"run", "shop"};
    words.insert(words.end(), more.begin(), more.end());
    return std::to_string(document(words).at("run").get<std::int64_t>());
  }
  /// Until nothing is left.
  [[nodiscard]] int work() const { return weir({"worker", "--once", "--slots", "2", "-q"}).status; }
  void expect_refused(const std::vector<std::string>& words, int status, const std::string& message,
                      const std::string& remedy = "") const {
    const WeirResult result = weir(words);
    EXPECT_EQ(result.status, status) << result.out << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err, "weir: " + message + "\n" + (remedy.empty() ? "" : "  " + remedy + "\n"));
  }
  [[nodiscard]] std::string value(const std::string& sql) const {
    const auto rows = session().execute("SELECT q::text FROM (" + sql + ") r(q)");
    return rows.rows() == 0 ? "none" : rows[0].get<std::optional<std::string>>(0).value_or("null");
  }

  ScratchFolder folder_{"pipelines"};
};

}  // namespace weir::test
