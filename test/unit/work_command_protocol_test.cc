#include <limits>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "work/bisection.h"
#include "work/command_protocol.h"
#include "work/json_members.h"
#include "work/line_buffer.h"
#include "work/stderr_relay.h"

namespace weir::work {
namespace {

using nlohmann::json;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string text_of(const Batch& batch, std::size_t step = std::string::npos) {
  BatchText text(batch, 7);
  std::string out;
  while (!text.done()) {
    const std::string_view piece = text.next().substr(0, step);
    out += piece;
    text.taken(piece.size());
  }
  EXPECT_TRUE(text.next().empty());
  return out;
}

std::vector<std::string> lines_of(const std::string& text) {
  LineBuffer buffer(1 << 20);
  buffer.append(text);
  std::vector<std::string> lines;
  while (const auto line = buffer.next()) lines.emplace_back(*line);
  EXPECT_TRUE(buffer.take_rest().empty());
  return lines;
}

std::string refusal_of(std::string_view line) {
  try {
    decode_answer(line);
  } catch (const AnswerError& error) {
    return error.what();
  }
  return "taken";
}

TEST(WorkBatchText, ALineForEachItemAndOneForTheEnd) {
  const std::vector<Item> items{{.id = 9007199254740993,
                                 .source = "q\"1\n",
                                 .kind = "k",
                                 .payload = R"({"a":1})",
                                 .attempt = 2,
                                 .max_attempts = 5,
                                 .error = std::string_view("bad \xff\0", 6),
                                 .created_at = WallTime(std::chrono::microseconds(-1)),
                                 .deadline = WallTime(std::chrono::microseconds(1'000'001))},
                                {.id = std::numeric_limits<std::int64_t>::min(), .payload = ""}};
  const Batch batch(items, {});
  const auto lines = lines_of(text_of(batch));
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_TRUE(lines[0].starts_with(R"({"id":"9007199254740993",)")) << "a shell relies on it";
  EXPECT_EQ(json::parse(lines[0]),
            json::parse(R"({"id":"9007199254740993","queue":"q\"1\n","kind":"k","attempt":2,
    "max_attempts":5,"error":"bad \ufffd\u0000","created_at":"1969-12-31T23:59:59.999999Z",
    "deadline":"1970-01-01T00:00:01.000001Z","payload":{"a":1}})"));
  EXPECT_EQ(json::parse(lines[1]),
            json::parse(R"({"id":"-9223372036854775808","queue":"","kind":"","attempt":1,
    "max_attempts":1,"payload":null})"));
  EXPECT_EQ(lines[2], R"({"end":7,"items":2})");
}

TEST(WorkBatchText, LeavesOutWhatIsSettledAndInfiniteTimes) {
  const std::vector<Item> items{{.id = 1}, {.id = 2, .payload = "1", .deadline = WallTime::max()}};
  Batch batch(items, {});
  batch.settle(0, Outcome::done());
  EXPECT_THAT(lines_of(text_of(batch)),
              ElementsAre(R"({"id":"2","queue":"","kind":"","attempt":1,"max_attempts":1,"payload":1})",
                          R"({"end":7,"items":1})"));
}

TEST(WorkBatchText, PayloadsOfAnySizeStayOneLineWhateverPiecesAreTaken) {
  const std::string large = "[\"" + std::string(100'000, 'x') + "\"]";
  std::string pretty = "[\n";
  for (int i = 0; i < 20'000; ++i) pretty += "1,\r\n";
  pretty += "1\n]\n";
  const std::vector<Item> items{{.id = 1, .payload = large},
                                {.id = 2, .payload = "{\n\r\"a\":\n1}"},
                                {.id = 3, .payload = pretty},
                                {.id = 4, .payload = "\n"}};
  const Batch batch(items, {});
  const std::string text = text_of(batch);
  const auto lines = lines_of(text);
  ASSERT_EQ(lines.size(), 5U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(json::parse(lines[i])["payload"], json::parse(items[i].payload));
  }
  EXPECT_EQ(json::parse(lines[3])["payload"], nullptr);
  EXPECT_EQ(text_of(batch, 7), text);
}

TEST(WorkBatchText, ALargePayloadIsNotCopied) {
  const std::string large(1 << 20, '1');
  const std::vector<Item> items{{.id = 1, .payload = large}};
  const Batch batch(items, {});
  BatchText text(batch, 1);
  text.taken(text.next().size());
  EXPECT_EQ(text.next().data(), large.data());
}

TEST(WorkPayload, FaultsAreFoundWithTheirPlace) {
  EXPECT_FALSE(find_payload_fault("{\"a\":\t\"\xC3\xA4\"}\r\n"));
  EXPECT_THAT(*find_payload_fault(std::string_view("\"a\0\"", 4)), HasSubstr("(0x00) at byte 2"));
  EXPECT_THAT(*find_payload_fault("\"ab\xC3\""), HasSubstr("not UTF-8 at byte 3"));
}

TEST(WorkAnswer, EachKind) {
  const auto outcome = [](std::string_view line) { return decode_answer(line)->outcome; };
  EXPECT_TRUE(outcome(R"({"id":1,"ok":true})").is_done());
  // Digits that a double cannot hold, and the spaces, come through.
  EXPECT_EQ(outcome(R"( {"result": {"n": 12345678901234567890.10, "s":"\"}]"} ,"ok":true,"id":"1"} )").text(),
            R"({"n": 12345678901234567890.10, "s":"\"}]"})");
  const Outcome failed = outcome(R"({"id":1,"error":"no\u0000\u00e4"})");
  EXPECT_EQ(failed.kind(), Outcome::Kind::failed);
  EXPECT_EQ(failed.text(), "no\xEF\xBF\xBD\xC3\xA4");
  const Outcome retry = outcome(R"({"id":1,"error":"","retry_after":1.5})");
  EXPECT_EQ(retry.kind(), Outcome::Kind::retry);
  EXPECT_EQ(retry.delay(), std::chrono::milliseconds(1500));
  EXPECT_EQ(outcome(R"({"id":1,"snooze":0})").kind(), Outcome::Kind::snoozed);
  EXPECT_EQ(outcome(R"({"id":1,"discard":"x"})").kind(), Outcome::Kind::discarded);
  EXPECT_TRUE(decode_answer(R"({"ack":"all"})")->all);
  EXPECT_THAT(decode_answer(R"({"ack":[1, "9007199254740993" ,-3]})")->ids,
              ElementsAre(1, 9007199254740993, -3));
  EXPECT_FALSE(decode_answer(" \t\r"));
}

TEST(WorkAnswer, ProgressEndsNothing) {
  const auto answer = decode_answer(R"({"progress":0.4,"note":"40 of\u0000100","id":"1"})");
  EXPECT_TRUE(answer->outcome.is_open());
  EXPECT_THAT(answer->ids, ElementsAre(1));
  EXPECT_EQ(answer->progress->share, 0.4);
  EXPECT_EQ(answer->progress->note,
            "40 of\xEF\xBF\xBD"
            "100");
  EXPECT_EQ(decode_answer(R"({"id":1,"progress":1})")->progress->note, "");
  EXPECT_FALSE(decode_answer(R"({"id":1,"ok":true})")->progress);
  EXPECT_THAT(refusal_of(R"({"id":1,"progress":40})"), HasSubstr("a number from 0 to 1"));
  EXPECT_THAT(refusal_of(R"({"id":1,"ok":true,"note":"x"})"), HasSubstr("goes with \"progress\" only"));
}

TEST(WorkAnswer, WhatTheProtocolDoesNotKnowIsRefused) {
  for (const std::string_view line : {R"(hello)",
                                      R"([1])",
                                      R"({"id":1,"ok":true)",
                                      R"({"id":1,"ok":true}{})",
                                      "{\"id\":1,\"error\":\"\xff\"}",
                                      R"({"id":1})",
                                      R"({"ok":true})",
                                      R"({"id":1,"ok":false})",
                                      R"({"id":1,"ok":true,"error":"x"})",
                                      R"({"id":1,"id":1,"ok":true})",
                                      R"({"id":1.0,"ok":true})",
                                      R"({"id":1e3,"ok":true})",
                                      R"({"id":9223372036854775808,"ok":true})",
                                      R"({"id":"","ok":true})",
                                      R"({"id":" 1","ok":true})",
                                      R"({"id":null,"ok":true})",
                                      R"({"id":1,"error":3})",
                                      R"({"id":1,"snooze":-1})",
                                      R"({"id":1,"snooze":"1"})",
                                      R"({"id":1,"snooze":1e300})",
                                      R"({"id":1,"snooze":1,"retry_after":1})",
                                      R"({"id":1,"ok":true,"retry_after":1})",
                                      R"({"id":1,"error":"x","result":1})",
                                      R"({"id":1,"error":"x","retry_afer":1})",
                                      R"({"ack":"some"})",
                                      R"({"ack":"all","id":1})",
                                      R"({"ack":[[1]]})",
                                      R"({"ack":1})",
                                      R"({"progress":0.5})",
                                      R"({"id":1,"progress":-0.1})",
                                      R"({"id":1,"progress":"0.1"})",
                                      R"({"id":1,"progress":null})",
                                      R"({"id":1,"progress":1e400})",
                                      R"({"id":1,"progress":1,"ok":true})",
                                      R"({"id":1,"progress":0,"progress":1})",
                                      R"({"id":1,"progress":1,"note":2})",
                                      R"({"id":1,"progress":1,"result":2})",
                                      R"({"id":1,"note":"x"})",
                                      R"({})"}) {
    EXPECT_NE(refusal_of(line), "taken") << line;
  }
  EXPECT_NE(refusal_of(std::string_view("{\"ack\":\"all\"}\0x", 15)), "taken");
  EXPECT_NE(refusal_of(std::string(2'000'000, '[')), "taken");
  EXPECT_NE(refusal_of("{\"ack\":[" + std::string(300'000, '1') + "]}"), "taken");
}

TEST(WorkAnswer, AResultThatCannotBeStoredFailsItsItemAlone) {
  const std::string nested(1001, '[');
  for (const std::string& result : {std::string(R"("a\u0000")"), std::string("1e-20000"),
                                    "0." + std::string(1001, '1'), nested + std::string(1001, ']')}) {
    const auto answer = decode_answer(R"({"id":1,"ok":true,"result":)" + result + "}");
    EXPECT_EQ(answer->outcome.kind(), Outcome::Kind::failed) << result;
    EXPECT_THAT(answer->outcome.text(), HasSubstr("jsonb"));
  }
  EXPECT_TRUE(decode_answer(R"({"id":1,"ok":true,"result":["\\u0000",-1.5E+10,{}]})")->outcome.is_done());
}

TEST(WorkAnswers, FindTheirItemsAndTheFirstOneStands) {
  const std::vector<Item> items{{.id = 5}, {.id = 9}};
  Batch batch(items, {});
  Answers answers(batch);
  answers.take(*decode_answer(R"({"id":"9","error":"x"})"), false);
  answers.take(*decode_answer(R"({"id":9,"ok":true})"), false);
  EXPECT_EQ(answers.repeated(), 1U);
  EXPECT_EQ(batch.outcomes()[1].kind(), Outcome::Kind::failed);
  EXPECT_THROW(answers.take(*decode_answer(R"({"id":6,"ok":true})"), true), AnswerError);
  EXPECT_THROW(answers.take(*decode_answer(R"({"ack":"all"})"), false), AnswerError);
  EXPECT_EQ(batch.open(), 1U);
  answers.take(*decode_answer(R"({"ack":"all"})"), true);
  EXPECT_TRUE(batch.outcomes()[0].is_done());
  EXPECT_EQ(batch.outcomes()[1].kind(), Outcome::Kind::failed);
}

/// Keeps all that it is told.
class Told final : public ProgressSink {
 public:
  void report(std::int64_t item, double share, std::string_view note) override {
    reports.push_back(fmt::format("{} {} {}", item, share, note));
  }
  void forget(std::int64_t item) override { forgotten.insert(item); }

  std::vector<std::string> reports;
  std::multiset<std::int64_t> forgotten;
};

TEST(WorkAnswers, ProgressIsPassedOnUntilTheItemIsAnsweredAndForgottenOnceAtTheEnd) {
  const std::vector<Item> items{{.id = 5}, {.id = 9}};
  Batch batch(items, {});
  Told told;
  {
    Answers answers(batch, &told);
    EXPECT_FALSE(answers.told_progress());
    answers.take(*decode_answer(R"({"id":5,"progress":0.25,"note":"a"})"), false);
    answers.take(*decode_answer(R"({"id":5,"progress":0.5})"), false);
    EXPECT_EQ(batch.open(), 2U);
    EXPECT_TRUE(answers.told_progress());
    answers.take(*decode_answer(R"({"id":5,"ok":true})"), false);
    answers.take(*decode_answer(R"({"id":5,"progress":0.75})"), false);
    EXPECT_EQ(answers.repeated(), 0U);
    EXPECT_THROW(answers.take(*decode_answer(R"({"id":6,"progress":0})"), true), AnswerError);
    EXPECT_TRUE(told.forgotten.empty());
  }
  EXPECT_THAT(told.reports, ElementsAre("5 0.25 a", "5 0.5 "));
  EXPECT_THAT(told.forgotten, ElementsAre(5));
  EXPECT_TRUE(batch.outcomes()[0].is_done());

  // Where nobody wants to know it, it is no mistake either.
  Answers unheard(batch);
  unheard.take(*decode_answer(R"({"id":9,"progress":0.5})"), false);
  EXPECT_EQ(batch.open(), 1U);
}

TEST(WorkLineBuffer, LinesInPiecesAndTheLimit) {
  LineBuffer lines(4);
  lines.append("ab");
  EXPECT_FALSE(lines.next());
  lines.append("c\n\nx");
  EXPECT_EQ(lines.next(), "abc");
  EXPECT_EQ(lines.next(), "");
  EXPECT_FALSE(lines.next());
  EXPECT_FALSE(lines.overlong());
  lines.append("yzzz");
  EXPECT_TRUE(lines.overlong());
  EXPECT_EQ(lines.take_rest(), "xyzzz");
  EXPECT_FALSE(lines.overlong());
}

TEST(WorkStderrRelay, PassesSoManyLinesASecondAndKeepsTheTail) {
  std::vector<std::string> passed;
  StderrRelay relay([&](std::string_view line) { passed.emplace_back(line); });
  const SteadyTime start{seconds(1000)};
  for (int i = 0; i < 1000; ++i) relay.take("line\n", start);
  EXPECT_EQ(passed.size(), 200U);
  relay.take("later\n", start + seconds(1));
  ASSERT_EQ(passed.size(), 202U);
  EXPECT_THAT(passed[200], HasSubstr("800 lines left out"));
  EXPECT_EQ(passed[201], "later");
  relay.take(std::string(10'000, 'x'), start + seconds(2));
  relay.take(std::string("bell\a\xff\nend"), start + seconds(2));
  relay.finish(start + seconds(2));
  EXPECT_EQ(passed.back(), "end");
  for (const std::string& line : passed) EXPECT_LE(line.size(), StderrRelay::kLongestLine);
  EXPECT_TRUE(relay.tail().ends_with("bell\\x07\\xff\nend")) << relay.tail();
  EXPECT_LT(relay.tail().size(), 3000U);
}

TEST(WorkBisection, FindsTheBadItemsAndSparesTheOthers) {
  const std::vector<std::size_t> bad{0, 500, 501, 999};
  Bisection bisection(1000);
  std::vector<std::size_t> blamed;
  std::size_t done = 0;
  int tries = 0;
  while (const auto range = bisection.next()) {
    ++tries;
    bool fails = false;
    for (const std::size_t item : bad) fails = fails || (item >= range->begin && item < range->end);
    if (!fails) {
      done += range->size();
      bisection.succeeded();
    } else if (bisection.failed()) {
      blamed.push_back(range->begin);
    }
  }
  EXPECT_EQ(blamed, bad);
  EXPECT_EQ(done, 996U);
  EXPECT_LE(tries, 80);
  EXPECT_TRUE(bisection.untried().empty());
  EXPECT_FALSE(Bisection(0).next());
}

TEST(WorkBisection, GivesUpWhenAllIsBad) {
  Bisection bisection(1000, 3);
  int blamed = 0;
  while (bisection.next()) blamed += bisection.failed() ? 1 : 0;
  EXPECT_EQ(blamed, 3);
  std::size_t left = 0;
  for (const auto range : bisection.untried()) left += range.size();
  EXPECT_EQ(left, 997U);
}

TEST(WorkBisection, WhatNoItemCanBeBlamedFor) {
  EXPECT_TRUE(may_be_fault_of_an_item("22P02"));
  EXPECT_TRUE(may_be_fault_of_an_item("23505"));
  EXPECT_TRUE(may_be_fault_of_an_item("P0001"));
  EXPECT_FALSE(may_be_fault_of_an_item("42601"));
  EXPECT_FALSE(may_be_fault_of_an_item("53100"));
  EXPECT_FALSE(may_be_fault_of_an_item("40001"));
  EXPECT_FALSE(may_be_fault_of_an_item(""));
}

}  // namespace
}  // namespace weir::work
