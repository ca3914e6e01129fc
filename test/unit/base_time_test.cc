#include <algorithm>
#include <limits>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/backoff.h"
#include "base/deadline.h"
#include "base/histogram.h"
#include "base/manual_clock.h"

namespace weir {
namespace {

using namespace std::chrono_literals;

const SteadyTime kNow{1000h};

TEST(Deadline, NeverNeverPasses) {
  const Deadline never = Deadline::never();
  EXPECT_TRUE(never.is_never());
  EXPECT_FALSE(never.expired());
  EXPECT_EQ(never.poll_timeout(), -1);
}

TEST(Deadline, ALongSpanIsNeverAndNotThePast) {
  for (const Duration span : {Duration::max(), Duration::max() - 1ns, Duration::max() - 1h}) {
    // What is left of the range may be less than the machine has been up, so these need not be never.
    EXPECT_FALSE(Deadline::after(span).expired()) << span.count();
    EXPECT_FALSE(Deadline::after(span).expired(kNow)) << span.count();
  }
  EXPECT_TRUE(Deadline::after(Duration::max()).is_never());
}

TEST(Deadline, ASpanThatIsOverHasPassed) {
  for (const Duration span : {0ns, -1ns, Duration(-24h), Duration::min()}) {
    const Deadline deadline = Deadline::after(span);
    EXPECT_TRUE(deadline.expired()) << span.count();
    EXPECT_EQ(deadline.poll_timeout(), 0) << span.count();
  }
}

TEST(Deadline, PassesAtItsMomentAndNotBefore) {
  const Deadline deadline(kNow);
  EXPECT_FALSE(deadline.expired(kNow - 1ns));
  EXPECT_TRUE(deadline.expired(kNow));
  EXPECT_TRUE(deadline.expired(kNow + 1ns));
}

TEST(Deadline, RoundsUpForPollSoThatItNeverSpins) {
  const struct {
    Duration left;
    int millis;
  } table[] = {{-1ns, 0},     {0ns, 0},      {1ns, 1},
               {999999ns, 1}, {1ms, 1},      {1ms + 1ns, 2},
               {1s, 1000},    {1h, 3600000}, {24h * 30, std::numeric_limits<int>::max()}};
  for (const auto& row : table)
    EXPECT_EQ(Deadline(kNow + row.left).poll_timeout(kNow), row.millis) << row.left.count();
}

RC_GTEST_PROP(DeadlineProperty, APollOfItsLengthReachesIt, ()) {
  const Duration left(*rc::gen::inRange<Duration::rep>(0, Duration(24h).count()));
  const Deadline deadline(kNow + left);
  const std::chrono::milliseconds timeout(deadline.poll_timeout(kNow));
  RC_ASSERT(deadline.expired(kNow + timeout));
  RC_ASSERT(timeout - left < 1ms);
}

TEST(Deadline, TheSoonerOfTwo) {
  const Deadline early(kNow);
  const Deadline late(kNow + 1ns);
  EXPECT_EQ(early.sooner(late).at(), early.at());
  EXPECT_EQ(late.sooner(early).at(), early.at());
  EXPECT_EQ(Deadline::never().sooner(late).at(), late.at());
  EXPECT_TRUE(Deadline::never().sooner(Deadline::never()).is_never());
}

TEST(ManualClock, MovesOnlyWhenItIsTold) {
  ManualClock clock;
  const SteadyTime steady = clock.steady();
  const WallTime wall = clock.wall();
  EXPECT_EQ(clock.steady(), steady);
  clock.advance(90min);
  EXPECT_EQ(clock.steady() - steady, 90min);
  EXPECT_EQ(clock.wall() - wall, 90min);
}

TEST(SystemClock, IsTheMachines) {
  const SteadyTime before = std::chrono::steady_clock::now();
  const SteadyTime told = Clock::system().steady();
  EXPECT_LE(before, told);
  EXPECT_LE(told, std::chrono::steady_clock::now());
  const auto difference = std::chrono::system_clock::now() - Clock::system().wall();
  EXPECT_LT(std::chrono::abs(difference), 1min);
}

TEST(Backoff, GrowsByItsFactorUpToItsCap) {
  const BackoffPolicy policy{.base = 100ms, .cap = 1s, .factor = 2.0, .jitter = 0.0};
  const Duration expected[] = {100ms, 200ms, 400ms, 800ms, 1s, 1s};
  for (int attempt = 1; attempt <= 6; ++attempt) {
    EXPECT_EQ(backoff_delay(policy, attempt, 0.5), expected[attempt - 1]) << attempt;
  }
  EXPECT_EQ(backoff_delay(policy, std::numeric_limits<int>::max(), 0.0), 1s);
  EXPECT_EQ(backoff_delay(policy, 0, 0.0), 100ms);
  EXPECT_EQ(backoff_delay(policy, std::numeric_limits<int>::min(), 0.0), 100ms);
}

TEST(Backoff, JitterTakesAwayAtMostItsShare) {
  const BackoffPolicy policy{.base = 1s, .cap = 10s, .factor = 2.0, .jitter = 0.25};
  EXPECT_EQ(backoff_delay(policy, 1, 0.0), 1s);
  EXPECT_EQ(backoff_delay(policy, 1, 0.5), 875ms);
  EXPECT_GT(backoff_delay(policy, 1, 0.999999), 750ms);
}

TEST(Backoff, ExtremePoliciesStayInTheirRange) {
  const BackoffPolicy endless{.base = 1s, .cap = Duration::max(), .factor = 2.0, .jitter = 0.0};
  EXPECT_EQ(backoff_delay(endless, 2000, 0.0), Duration::max());
  const BackoffPolicy at_once{.base = 0s, .cap = 1s};
  EXPECT_EQ(backoff_delay(at_once, 1, 0.0), 0s);
  EXPECT_EQ(backoff_delay(at_once, 2000, 0.5), 0s);
}

RC_GTEST_PROP(BackoffProperty, IsNeverNegativeAndNeverLongerThanItsCap, ()) {
  const BackoffPolicy policy{.base = Duration(*rc::gen::inRange<Duration::rep>(0, Duration(1h).count())),
                             .cap = Duration(*rc::gen::inRange<Duration::rep>(1, Duration::max().count())),
                             .factor = *rc::gen::inRange(10, 50) / 10.0,
                             .jitter = *rc::gen::inRange(0, 11) / 10.0};
  const int attempt = *rc::gen::arbitrary<int>();
  const double random = *rc::gen::inRange(0, 1000) / 1000.0;
  const Duration delay = backoff_delay(policy, attempt, random);
  RC_ASSERT(delay >= 0ns);
  RC_ASSERT(delay <= policy.cap);
}

TEST(RandomUnit, StaysBelowOneAndDiffers) {
  std::vector<double> values(1000);
  std::generate(values.begin(), values.end(), random_unit);
  for (const double value : values) {
    EXPECT_GE(value, 0.0);
    EXPECT_LT(value, 1.0);
  }
  EXPECT_NE(values.front(), values.back());
}

TEST(Histogram, IsZeroWhenEmpty) {
  const Histogram empty;
  EXPECT_EQ(empty.count(), 0U);
  EXPECT_EQ(empty.quantile(0.5), 0ns);
  EXPECT_EQ(empty.max(), 0ns);
}

TEST(Histogram, BucketsEndAtPowersOfTwoMicroseconds) {
  const struct {
    Duration value;
    std::size_t bucket;
  } table[] = {{-1ns, 0},
               {0ns, 0},
               {1ns, 0},
               {1us, 0},
               {1001ns, 1},
               {2us, 1},
               {2001ns, 2},
               {4us, 2},
               {5us, 3},
               {1ms, 10},
               {Duration(1024us), 10},
               {1025us, 11},
               {Duration::max(), Histogram::kBuckets - 1}};
  for (const auto& row : table) {
    Histogram histogram;
    histogram.record(row.value);
    EXPECT_EQ(histogram.bucket(row.bucket), 1U) << row.value.count();
    EXPECT_EQ(histogram.max(), std::max(row.value, Duration::zero()));
  }
}

TEST(Histogram, AQuantileIsAnUpperBoundAlsoBeyondTheLastBucket) {
  Histogram histogram;
  histogram.record(3h);
  histogram.record(5h);
  EXPECT_GE(histogram.quantile(0.5), 3h);
  EXPECT_EQ(histogram.quantile(1.0), 5h);
}

RC_GTEST_PROP(HistogramProperty, AQuantileIsAtMostTwiceTheTruth, ()) {
  auto micros = *rc::gen::nonEmpty(rc::gen::container<std::vector<std::int64_t>>(
      rc::gen::inRange<std::int64_t>(1, std::chrono::microseconds(1h).count())));
  const double share = *rc::gen::inRange(0, 101) / 100.0;
  Histogram histogram;
  std::int64_t sum = 0;
  for (const std::int64_t value : micros) {
    histogram.record(std::chrono::microseconds(value));
    sum += value;
  }
  RC_ASSERT(histogram.count() == micros.size());
  RC_ASSERT(histogram.total() == std::chrono::microseconds(sum));
  std::sort(micros.begin(), micros.end());
  RC_ASSERT(histogram.max() == std::chrono::microseconds(micros.back()));
  const auto rank = std::max<std::size_t>(
      1, static_cast<std::size_t>(std::ceil(share * static_cast<double>(micros.size()))));
  const std::chrono::microseconds truth(micros[rank - 1]);
  RC_ASSERT(histogram.quantile(share) >= truth);
  RC_ASSERT(histogram.quantile(share) <= 2 * truth);
}

TEST(Histogram, LosesNothingAmongThreads) {
  Histogram histogram;
  constexpr int kEach = 5000;
  {
    std::vector<std::jthread> threads;
    for (int i = 1; i <= 4; ++i) {
      threads.emplace_back([&histogram, i] {
        for (int n = 0; n < kEach; ++n) histogram.record(std::chrono::milliseconds(i));
      });
    }
  }
  EXPECT_EQ(histogram.count(), 4U * kEach);
  EXPECT_EQ(histogram.total(), (1ms + 2ms + 3ms + 4ms) * kEach);
  EXPECT_EQ(histogram.max(), 4ms);
}

}  // namespace
}  // namespace weir
