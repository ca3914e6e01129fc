#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/database.h"
#include "weir_program.h"

namespace weir::test {

/// Consumes into the table effect of CliStream::make().
inline const std::string kEffect = "INSERT INTO effect SELECT event_id FROM weir_chunk";

/// A stream, its groups, and the program as a user has it.
class CliStream : public SchemaTest {
 protected:
  [[nodiscard]] WeirSetup setup() const {
    return {.env = {{"DATABASE_URL", url()}, {"WEIR", weir_binary()}}, .folder = folder_.path()};
  }
  WeirResult run(std::vector<std::string> words) const {
    words.insert(words.begin(), "stream");
    return run_weir(words, setup());
  }
  nlohmann::json document(std::vector<std::string> words) const {
    words.emplace_back("--json");
    const WeirResult result = run(words);
    EXPECT_EQ(result.status, 0) << result.err << result.out;
    return nlohmann::json::parse(result.out);
  }
  void make(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words{"create", "events"};
    words.insert(words.end(), more.begin(), more.end());
    const WeirResult result = run(words);
    ASSERT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.out, "made the stream events: INSERT or COPY (key, payload) into public.events\n");
    session().execute_script("CREATE TABLE effect (id bigint PRIMARY KEY)");
  }
  void insert(int events, const std::string& at = "now()") const {
    session().execute("INSERT INTO events (at, key, payload) SELECT " + at +
                          ", 'k' || n % 7, jsonb_build_object('n', n) FROM generate_series(1, $1::int4) n",
                      events);
  }
  std::int64_t number(const std::string& sql) const {
    return session().execute("SELECT (" + sql + ")::int8")[0].get<std::int64_t>(0);
  }
  WeirResult consume(const std::string& group, const std::vector<std::string>& more) const {
    std::vector<std::string> words{"consume", "events", "--group", group, "--once"};
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  }
  /// A group that exists, and has had all there is.
  void make_group(const std::string& name) const {
    ASSERT_EQ(consume(name, {"--from", "beginning", "--sql", "SELECT FROM weir_chunk"}).status, 0);
  }
  nlohmann::json group(const std::string& name) const {
    return document({"lag", "events", "--group", name}).at("streams").at(0).at("groups").at(0);
  }

  ScratchFolder folder_{"stream"};
};

}  // namespace weir::test
