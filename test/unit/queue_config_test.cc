// Settings of a queue as words; why a job waits.
#include "queue/queue_config.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "queue/figures.h"
#include "queue/job_view.h"
#include "support/errors.h"

namespace weir::queue {
namespace {

using namespace std::chrono_literals;

std::string word_of(const QueueConfig& config, std::string_view key) {
  for (const auto& [name, value] : to_words(config)) {
    if (name == key) return value;
  }
  return "?";
}

TEST(QueueConfig, WordsAreReadAsTheyAreWritten) {
  for (const char* const word : {"max_attempts=7", "backoff=250ms", "backoff_cap=90m", "timeout=30s",
                                 "keep=14d", "keep_dead=90d", "keep_dead=forever", "max_running=3",
                                 "max_per_key=1", "rate=100/s", "rate=1000/h", "rate=5/10m", "relaxed=on"}) {
    QueueConfig config;
    set_word(config, word);
    const std::string_view text = word;
    EXPECT_EQ(word_of(config, text.substr(0, text.find('='))), text.substr(text.find('=') + 1)) << word;
  }
}

TEST(QueueConfig, NoneIsTheDefaultOrNoLimit) {
  QueueConfig config;
  for (const char* const word : {"max_attempts=1", "backoff=5s", "timeout=5s", "keep=1", "keep_dead=1",
                                 "max_running=1", "max_per_key=1", "rate=1/s", "relaxed=on"})
    set_word(config, word);
  for (const char* const key : {"max_attempts", "backoff", "backoff_cap", "timeout", "keep", "keep_dead",
                                "max_running", "max_per_key", "rate", "relaxed"})
    set_word(config, std::string(key) + "=none");
  EXPECT_EQ(to_words(config), to_words(QueueConfig()));
}

TEST(QueueConfig, WhatIsNoValueIsRefused) {
  for (const char* const word : {"max_attempts=0",
                                 "max_attempts=40000",
                                 "max_attempts=",
                                 "backoff=-1s",
                                 "backoff=5",
                                 "timeout=0s",
                                 "keep=4000",
                                 "keep=forever",
                                 "keep_dead=0",
                                 "keep_dead=-1",
                                 "keep_dead=4000",
                                 "keep_dead=1h",
                                 "keep_dead=",
                                 "rate=100",
                                 "rate=0/s",
                                 "rate=5/",
                                 "rate=5/0s",
                                 "rate=/s",
                                 "relaxed=maybe",
                                 "keep",
                                 "max_running=99999999999"}) {
    QueueConfig config;
    EXPECT_EQ(test::error_of([&] { set_word(config, word); }).exit_code(), ExitCode::usage) << word;
    EXPECT_EQ(to_words(config), to_words(QueueConfig())) << word;
  }
}

TEST(QueueConfig, NamesAreShortAndPrintable) {
  for (const std::string& good : {std::string("q"), std::string("größe 7/a"), std::string(100, 'q')})
    EXPECT_NO_THROW(check_queue_name(good)) << good;
  for (const std::string& bad :
       {std::string(), std::string(101, 'q'), std::string("a\nb"), std::string("\xff")})
    EXPECT_EQ(test::error_of([&] { check_queue_name(bad); }).exit_code(), ExitCode::usage) << bad;
}

TEST(JobView, TheReasonIsTheFirstThingThatHoldsItBack) {
  WaitingFacts facts{.paused = true,
                     .max_running = 2,
                     .running = 2,
                     .max_per_key = 1,
                     .running_of_key = 1,
                     .rate_limit = 5,
                     .started = 5,
                     .ahead = 3,
                     .workers = 0};
  const auto reason = [&] { return waiting_reason(facts, "q", "key"); };
  EXPECT_TRUE(test::has(reason(), "paused"));
  facts.paused = false;
  EXPECT_TRUE(test::has(reason(), "no worker listens"));
  facts.workers = 1;
  EXPECT_TRUE(test::has(reason(), "max_running=2"));
  facts.running = 1;
  EXPECT_TRUE(test::has(reason(), "max_per_key=1"));
  facts.running_of_key = 0;
  EXPECT_TRUE(test::has(reason(), "rate: 5"));
  facts.started = 4;
  EXPECT_EQ(reason(), "3 jobs are before it");
  facts.ahead = 0;
  EXPECT_EQ(reason(), "it is the next one");
  facts.ahead = WaitingFacts::kMostAhead + 1;
  EXPECT_EQ(reason(), "more than 10,000 jobs are before it");
}

TEST(Figures, WhatWasNotCountedToItsEndSaysSo) {
  EXPECT_EQ((Counted{1234, false}.text()), "1,234");
  EXPECT_EQ((Counted{10'000, true}.text()), ">10,000");
}

}  // namespace
}  // namespace weir::queue
