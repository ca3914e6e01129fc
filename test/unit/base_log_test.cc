#include <array>
#include <limits>
#include <regex>
#include <thread>
#include <vector>

#include <sys/socket.h>

#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>
#include <rapidcheck/gtest.h>

#include "base/log.h"
#include "base/text.h"
#include "base/unique_fd.h"

namespace weir {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

/// Takes the log while it lives. A socket that keeps the borders of messages: each is one write.
class TakenLog {
 public:
  explicit TakenLog(log::Options options) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    read_.reset(ends[0]);
    write_.reset(ends[1]);
    options.fd = write_.get();
    log::configure(options);
  }
  ~TakenLog() { log::configure({.level = log::Level::error}); }
  TakenLog(const TakenLog&) = delete;
  TakenLog& operator=(const TakenLog&) = delete;

  [[nodiscard]] std::vector<std::string> writes() const {
    std::vector<std::string> all;
    for (std::string text(65536, '\0');; text.resize(65536)) {
      const ssize_t got = ::recv(read_.get(), text.data(), text.size(), MSG_DONTWAIT);
      if (got < 0) return all;
      text.resize(static_cast<std::size_t>(got));
      all.push_back(text);
    }
  }
  /// The only one.
  [[nodiscard]] std::string line() const {
    const auto all = writes();
    EXPECT_EQ(all.size(), 1U);
    return all.empty() ? "" : all.front();
  }

 private:
  UniqueFd read_;
  UniqueFd write_;
};

const log::Options kJson{.level = log::Level::debug, .format = log::Format::json};
const log::Options kHuman{.level = log::Level::debug, .format = log::Format::human};

TEST(Log, HumanLinesHaveTimeLevelMessageAndFields) {
  const TakenLog taken(kHuman);
  log::warn("slow query",
            {{"query", "DueJobs"}, {"ms", 12.5}, {"rows", 3}, {"cached", false}, {"why", "a b"}});
  EXPECT_THAT(taken.line(),
              MatchesRegex("[0-9][0-9]:[0-9][0-9]:[0-9][0-9]\\.[0-9][0-9][0-9] warn  slow query  "
                           "query=DueJobs  ms=12\\.5  rows=3  cached=false  why=\"a b\"\n"));
}

TEST(Log, JsonLinesAreObjectsInTheOrderOfTheirFields) {
  const TakenLog taken(kJson);
  log::error("slow query",
             {{"query", std::string("DueJobs")}, {"ms", 12.5}, {"rows", -3L}, {"cached", true}});
  const std::string line = taken.line();
  EXPECT_TRUE(std::regex_match(
      line,
      std::regex(R"(\{"ts":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z","level":"error","msg":"slow query",)"
                 R"("query":"DueJobs","ms":12\.5,"rows":-3,"cached":true\}\n)")))
      << line;
  EXPECT_EQ(json::parse(line).at("rows"), -3);
}

TEST(Log, WritesWhatIsAtOrAboveItsLevel) {
  const struct {
    log::Level level;
    std::size_t lines;
  } table[] = {{log::Level::debug, 4},
               {log::Level::info, 3},
               {log::Level::warn, 2},
               {log::Level::error, 1},
               {log::Level::off, 0}};
  for (const auto& row : table) {
    const TakenLog taken({.level = row.level});
    log::debug("x");
    log::info("x");
    log::warn("x");
    log::error("x");
    EXPECT_EQ(taken.writes().size(), row.lines);
    EXPECT_EQ(log::enabled(log::Level::info), row.lines >= 3);
  }
}

TEST(Log, ColoursOnlyWhereItIsToldTo) {
  {
    const TakenLog taken({.color = true});
    log::error("x");
    EXPECT_THAT(taken.line(), HasSubstr("\x1b[31m"));
  }
  {
    const TakenLog taken({.format = log::Format::json, .color = true});
    log::error("x");
    EXPECT_EQ(taken.line().find('\x1b'), std::string::npos);
  }
  const TakenLog taken(kHuman);
  log::error("x");
  EXPECT_EQ(taken.line().find('\x1b'), std::string::npos);
}

TEST(Log, NumbersThatJsonDoesNotHaveAreNull) {
  const TakenLog taken(kJson);
  log::info("x", {{"nan", std::numeric_limits<double>::quiet_NaN()},
                  {"inf", -std::numeric_limits<double>::infinity()},
                  {"big", 1e300},
                  {"int", std::numeric_limits<std::int64_t>::min()}});
  const json line = json::parse(taken.line());
  EXPECT_TRUE(line.at("nan").is_null());
  EXPECT_TRUE(line.at("inf").is_null());
  EXPECT_EQ(line.at("big"), 1e300);
  EXPECT_EQ(line.at("int"), std::numeric_limits<std::int64_t>::min());
}

TEST(Log, HumanValuesAreQuotedWhereTheyWouldReadAsSomethingElse) {
  const struct {
    const char* value;
    const char* shown;
  } table[] = {{"plain", "k=plain\n"}, {"ž💧", "k=ž💧\n"},         {"", "k=\"\"\n"},
               {"a b", "k=\"a b\"\n"}, {"a=b", "k=\"a=b\"\n"},     {"\"", "k=\"\\\"\"\n"},
               {"\xFF", "k=\\xff\n"},  {"\x1b[2J", "k=\\x1b[2J\n"}};
  for (const auto& row : table) {
    const TakenLog taken(kHuman);
    log::info("m", {{"k", row.value}});
    EXPECT_THAT(taken.line(), ::testing::EndsWith(row.shown));
  }
}

/// What a stranger could choose: messages hold names of files and words of servers.
const std::vector<std::string> kHostile{
    "two\nlines",
    "01:02:03.004 error  forged",
    "\r\x1b[1A\x1b[2K",
    "\"}\n{\"level\":\"error\"",
    "\xC2\x9B"
    "2K",
    "\x7f",
    "\xFF\xFE",
    std::string("a\0b", 3),
};

TEST(Log, NoTextForgesARecordOrReachesTheTerminal) {
  for (const log::Options& options : {kHuman, kJson}) {
    for (const std::string& text : kHostile) {
      const TakenLog taken(options);
      log::info(text, {{text, text}, {"with space", " " + text}});
      const std::string line = taken.line();
      EXPECT_EQ(line.find('\n'), line.size() - 1) << line;
      EXPECT_EQ(printable(line.substr(0, line.size() - 1)), line.substr(0, line.size() - 1));
    }
  }
}

RC_GTEST_PROP(LogProperty, AJsonLineHoldsWhatWasSaid,
              (const std::string& message, const std::string& value)) {
  const TakenLog taken(kJson);
  log::info(message, {{"value", value}});
  const json line = json::parse(taken.line());
  if (!find_invalid_utf8(message)) RC_ASSERT(line.at("msg") == message);
  if (!find_invalid_utf8(value)) RC_ASSERT(line.at("value") == value);
}

TEST(Log, LinesOfSeveralThreadsDoNotMix) {
  const TakenLog taken(kJson);
  constexpr int kLines = 20;
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 4; ++thread) {
      threads.emplace_back([thread] {
        for (int i = 0; i < kLines; ++i)
          log::info("line", {{"thread", thread}, {"fill", std::string(300, 'x')}});
      });
    }
  }
  const auto lines = taken.writes();
  EXPECT_EQ(lines.size(), 4U * kLines);
  for (const std::string& line : lines) EXPECT_TRUE(json::accept(line)) << line;
}

TEST(Log, ADescriptorThatIsGoneIsNoFailure) {
  log::configure({.fd = -1});
  log::error("nobody hears it");
  const TakenLog taken(kJson);
  log::error("somebody hears this");
  EXPECT_NE(taken.line().find("somebody hears this"), std::string::npos)
      << "the lost record must not come later";
}

}  // namespace
}  // namespace weir
