#pragma once

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "support/database.h"
#include "weir_program.h"

namespace weir::test {

/// Feeds, batches and consumers through the program, on a database of its own. The feed 'default' has the
/// sink silver, and gold behind it; what silver applies goes into the table silver, in order.
class CliGroupTest : public SchemaTest {
 protected:
  using Words = std::vector<std::string>;
  using Json = nlohmann::json;

  void SetUp() override {
    SchemaTest::SetUp();
    session().execute_script(
        "CREATE TABLE silver (id int PRIMARY KEY, v text); "
        "CREATE TABLE applied (n int GENERATED ALWAYS AS IDENTITY, sink text, run_id bigint, run text, idx "
        "int, attempt int)");
    ASSERT_EQ(run({"feed", "sink", "default", "silver"}).status, 0);
    ASSERT_EQ(run({"feed", "sink", "default", "gold", "--after", "silver"}).status, 0);
    ASSERT_EQ(run({"feed", "set", "default", "--max-attempts", "1"}).status, 0);
  }

  [[nodiscard]] WeirSetup setup() const {
    return {.env = {{"DATABASE_URL", url()}, {"WEIR", weir_binary()}}, .folder = folder_.path()};
  }
  [[nodiscard]] WeirResult run(const Words& words, std::string input = {}) const {
    WeirSetup with = setup();
    with.input = std::move(input);
    return run_weir(words, with);
  }
  [[nodiscard]] Json document(Words words, int status = 0) const {
    words.emplace_back("--json");
    const WeirResult result = run(words);
    EXPECT_EQ(result.status, status) << result.err << result.out;
    return Json::parse(result.out);
  }
  /// Answers its id.
  std::string submit(const Words& more) const {
    Words words{"batch", "submit", "--tenant", "acme", "--key", "orders"};
    words.insert(words.end(), more.begin(), more.end());
    const WeirResult result = run(words);
    EXPECT_EQ(result.status, 0) << result.err;
    return result.out.substr(0, result.out.find('\n'));
  }
  [[nodiscard]] WeirResult consume(const std::string& sink, const Words& more) const {
    Words words{"group", "consume", "--sink", sink, "--once", "--concurrency", "2"};
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  }
  [[nodiscard]] WeirResult apply(const std::string& sink) const {
    return consume(sink, {"--sql", "INSERT INTO applied (sink, run_id, run, idx, attempt) SELECT '" + sink +
                                       "', run_id, run, idx, attempt FROM weir_batch"});
  }
  /// "0,1,2": the indexes in the order in which the sink had them.
  [[nodiscard]] std::string applied(const std::string& sink) const {
    return text("SELECT coalesce(string_agg(idx::text, ',' ORDER BY n), '') FROM applied WHERE sink = '" +
                sink + "'");
  }
  [[nodiscard]] std::string text(const std::string& sql) const {
    return session().execute("SELECT (" + sql + ")::text")[0].get<std::string>(0);
  }
  /// "succeeded upstream": of a batch, sink by sink.
  [[nodiscard]] std::string states(const std::string& id) const {
    const Json shown = document({"batch", "show", id});
    std::string all;
    for (const Json& sink : shown.at("sinks"))
      all += (all.empty() ? "" : " ") + sink.at("state").get<std::string>();
    return all;
  }

  ScratchFolder folder_{"group"};
};

}  // namespace weir::test
