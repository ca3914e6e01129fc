// What the runtime decides, without a server: when a lease is over, when to sleep, how much to hold, what is
// stopped.

#include <array>
#include <thread>

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "work/idle.h"
#include "work/inbox.h"
#include "work/lease_life.h"
#include "work/portions.h"
#include "work/process.h"
#include "work/slots.h"

namespace weir::work {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

constexpr SteadyTime kStart{1000s};

TEST(LeaseLife, CountsFromWhenTheRenewalWasAskedForNotFromItsAnswer) {
  LeaseLife lease(15s, kStart);
  EXPECT_EQ(lease.renew_at(), kStart + 5s);
  EXPECT_EQ(lease.give_up_at(), kStart + 10s);
  lease.renewed(kStart + 5s);
  EXPECT_EQ(lease.renew_at(), kStart + 10s);
  EXPECT_EQ(lease.give_up_at(), kStart + 15s);
}

TEST(LeaseLife, IsLostAtTwoThirdsToTheTick) {
  const LeaseLife lease(15s, kStart);
  EXPECT_FALSE(lease.is_lost(kStart));
  EXPECT_FALSE(lease.is_lost(kStart + 10s - 1ns));
  EXPECT_TRUE(lease.is_lost(kStart + 10s));
}

TEST(LeaseLife, OfASpanThatDoesNotDivideLeavesTheOthersAtLeastAThird) {
  const LeaseLife lease(1000ns, kStart);
  EXPECT_LE(lease.give_up_at() - kStart, 667ns);
  EXPECT_LT(lease.renew_at(), lease.give_up_at());
}

TEST(LeaseLife, NoBackoffSleepsThroughItsLoss) {
  const LeaseLife lease(3s, kStart);
  EXPECT_EQ(lease.retry_in(500ms, kStart + 1s), 500ms);
  EXPECT_EQ(lease.retry_in(2s, kStart + 1500ms), 500ms);
  EXPECT_EQ(lease.retry_in(2s, kStart + 5s), 0s);
}

using Step = Idle::Step;

std::string describe(const Idle::Action& action) {
  constexpr std::array kNames{"look", "lie down", "sleep"};
  return std::string(kNames.at(static_cast<std::size_t>(action.step))) + ' ' +
         std::to_string(action.pause / 1ms);
}

TEST(Idle, WhoStartsLiesDownAtOnceAndLooksUntilAllIsDecided) {
  Idle idle({.longest = 15s});
  std::vector<std::string> seen{describe(idle.found_nothing(false, false))};
  for (int i = 0; i < 12; ++i) seen.push_back(describe(idle.found_nothing(true, false)));
  seen.push_back(describe(idle.found_nothing(true, true)));
  seen.push_back(describe(idle.found_nothing(true, true)));
  EXPECT_THAT(seen, ElementsAre("lie down 0", "look 1", "look 2", "look 4", "look 8", "look 16", "look 32",
                                "look 64", "look 128", "look 256", "look 512", "look 1000", "look 1000",
                                "sleep 15000", "sleep 15000"));
}

TEST(Idle, WhoHadWorkLooksAFewTimesBeforeItLiesDown) {
  Idle idle({.longest = 15s});
  idle.found_work();
  std::vector<std::string> seen;
  for (int i = 0; i < 5; ++i) seen.push_back(describe(idle.found_nothing(false, false)));
  EXPECT_THAT(seen, ElementsAre("look 1", "look 2", "look 4", "look 8", "lie down 0"));
  EXPECT_EQ(describe(idle.found_nothing(true, true)), "sleep 15000") << "decided at the first look";
}

TEST(Idle, WhoseBedWasLostLiesDownAgain) {
  Idle idle({.longest = 15s});
  EXPECT_EQ(idle.found_nothing(false, false).step, Step::lie_down);
  EXPECT_EQ(idle.found_nothing(true, true).step, Step::sleep);
  std::vector<Step> seen;
  for (int i = 0; i < 6 && (seen.empty() || seen.back() != Step::lie_down); ++i)
    seen.push_back(idle.found_nothing(false, false).step);
  EXPECT_EQ(seen.back(), Step::lie_down);
}

TEST(Idle, WorkBetweenTwoLooksStartsTheDistancesAnew) {
  Idle idle({.longest = 15s});
  (void)idle.found_nothing(false, false);
  for (int i = 0; i < 8; ++i) (void)idle.found_nothing(true, false);
  idle.found_work();
  EXPECT_EQ(describe(idle.found_nothing(true, false)), "look 1");
}

TEST(Idle, WhoCannotBeWokenNeverLiesDown) {
  Idle idle({.longest = 100ms, .can_be_woken = false});
  idle.found_work();
  std::vector<std::string> seen;
  for (int i = 0; i < 9; ++i) seen.push_back(describe(idle.found_nothing(false, false)));
  EXPECT_THAT(seen, ElementsAre("look 1", "look 2", "look 4", "look 8", "look 16", "look 32", "look 64",
                                "look 100", "look 100"));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(describe(idle.found_nothing(false, false)), "look 100");
}

TEST(Appetite, HoldsAboutAFifthOfASecondOfWorkAndNeverLessThanOneASlot) {
  const Appetite appetite{.slots = 4, .most = 2000};
  EXPECT_EQ(appetite.in_flight(std::nullopt), 32U) << "a pace that is not known yet";
  struct {
    Duration pace;
    std::size_t held;
  } const table[] = {{Duration::zero(), 2000},
                     {1ns, 2000},
                     {100us, 2000},
                     {1ms, 800},
                     {20ms, 40},
                     {100ms, 8},
                     {200ms, 4},
                     {201ms, 4},
                     {1h, 4}};
  for (const auto& row : table) EXPECT_EQ(appetite.in_flight(row.pace), row.held) << row.pace / 1us << " us";
  EXPECT_EQ((Appetite{.slots = 5000, .most = 2000}).in_flight(1ns), 5000U) << "more slots than the most";
}

TEST(Appetite, AsksForAQuarterOrWaits) {
  const Appetite appetite{.slots = 4, .most = 2000};
  EXPECT_EQ(appetite.wanted(1ms, 0), 800U);
  EXPECT_EQ(appetite.wanted(1ms, 600), 200U);
  EXPECT_EQ(appetite.wanted(1ms, 601), 0U);
  EXPECT_EQ(appetite.wanted(1ms, 800), 0U);
  EXPECT_EQ(appetite.wanted(1ms, 5000), 0U) << "more than it would hold now, since the pace fell";
  EXPECT_EQ(appetite.wanted(1h, 3), 1U) << "a slot that is free";
  EXPECT_EQ((Appetite{.slots = 1}).wanted(1h, 0), 1U);
}

TEST(Appetite, LeavesOtherSlotsTheirPartOfWhatOneDoesAlone) {
  const Appetite appetite{.slots = 4, .most = 2000};
  EXPECT_EQ(appetite.of_one_slot(std::nullopt), 8U);
  EXPECT_EQ(appetite.of_one_slot(1ms), 200U);
  EXPECT_EQ(appetite.of_one_slot(1ns), 500U);
  EXPECT_EQ(appetite.of_one_slot(1h), 1U);
  EXPECT_EQ((Appetite{.slots = 5000, .most = 2000}).of_one_slot(1ns), 1U);
}

TEST(Appetite, CutsClaimsSoThatEverySlotGetsSome) {
  const Appetite appetite{.slots = 4};
  EXPECT_EQ(appetite.portion(1), 1U);
  EXPECT_EQ(appetite.portion(7), 1U);
  EXPECT_EQ(appetite.portion(800), 100U);
  EXPECT_EQ(appetite.portion(1'000'000), 500U);
}

class Items final : public Claim {
 public:
  explicit Items(std::int64_t count, std::optional<Duration> timeout = {},
                 std::optional<WallTime> deadline = {})
      : timeout_(timeout) {
    for (std::int64_t id = 1; id <= count; ++id) items_.push_back({.id = id, .deadline = deadline});
  }
  [[nodiscard]] std::span<const Item> items() const noexcept override { return items_; }
  [[nodiscard]] std::optional<Duration> timeout() const noexcept override { return timeout_; }

 private:
  std::vector<Item> items_;
  std::optional<Duration> timeout_;
};

class InboxTest : public ::testing::Test {
 protected:
  Portion portion(std::int64_t items, std::optional<Duration> timeout = {},
                  std::optional<WallTime> deadline = {}) {
    return {life_, std::make_shared<Items>(items, timeout, deadline), 0, static_cast<std::size_t>(items)};
  }
  Portion pushed_and_popped(Portion portion) {
    inbox_.push({std::move(portion)});
    return inbox_.pop({}).value();
  }

  std::shared_ptr<Life> life_ = std::make_shared<Life>(7);
  Wakeup room_;
  Inbox inbox_{room_};
};

TEST_F(InboxTest, CountsWhatIsNotSettledWhereverItIs) {
  inbox_.push({portion(3), portion(2)});
  EXPECT_EQ(inbox_.in_flight(), 5U);
  EXPECT_EQ(inbox_.pop({})->count, 3U);
  inbox_.expect(4);
  EXPECT_EQ(inbox_.in_flight(), 9U);
  inbox_.settled(9);
  EXPECT_EQ(inbox_.in_flight(), 0U);
  inbox_.settled(1);
  EXPECT_EQ(inbox_.in_flight(), 0U) << "never below zero";
}

TEST_F(InboxTest, WhatNoSlotHasBegunIsTakenBackInOrder) {
  inbox_.push({portion(1), portion(2), portion(3)});
  EXPECT_EQ(inbox_.pop({})->count, 1U);
  const auto unbegun = inbox_.take_unbegun();
  ASSERT_EQ(unbegun.size(), 2U);
  EXPECT_EQ(unbegun[0].count, 2U);
  EXPECT_EQ(unbegun[1].count, 3U);
  EXPECT_TRUE(inbox_.take_unbegun().empty());
}

TEST_F(InboxTest, AStopEndsTheWaitOfASlotAndComesBeforeWork) {
  std::stop_source stop;
  std::optional<Portion> got = portion(1);
  std::jthread slot([&] { got = inbox_.pop(stop.get_token()); });
  stop.request_stop();
  slot.join();
  EXPECT_FALSE(got);
  inbox_.push({portion(1)});
  EXPECT_FALSE(inbox_.pop(stop.get_token()));
}

TEST_F(InboxTest, ALostLifeStopsItsWorkAlsoWhenItBeginsLate) {
  const Portion early = pushed_and_popped(portion(1));
  const Inbox::Running running(inbox_, early);
  EXPECT_FALSE(running.stop().stop_requested());
  life_->lose();
  EXPECT_TRUE(running.stop().stop_requested());
  const Portion late = pushed_and_popped(portion(1));
  EXPECT_TRUE(Inbox::Running(inbox_, late).stop().stop_requested());
}

TEST_F(InboxTest, ATimeLimitStopsTheWorkOnceAndSaysWhenTheNextOneDoes) {
  const Portion short_one = pushed_and_popped(portion(1, 1s));
  const Portion long_one = pushed_and_popped(portion(3, 1s));
  const Portion endless = pushed_and_popped(portion(1));
  const SteadyTime before = std::chrono::steady_clock::now();
  const Inbox::Running first(inbox_, short_one);
  const Inbox::Running second(inbox_, long_one);
  const Inbox::Running third(inbox_, endless);
  const SteadyTime after = std::chrono::steady_clock::now();

  const auto next = inbox_.stop_overdue(before);
  ASSERT_TRUE(next);
  EXPECT_GE(*next, before + 1s);
  EXPECT_LE(*next, after + 1s);
  EXPECT_FALSE(first.stop().stop_requested());

  const auto then = inbox_.stop_overdue(after + 1s);
  EXPECT_TRUE(first.stop().stop_requested());
  EXPECT_TRUE(first.timed_out());
  EXPECT_FALSE(second.stop().stop_requested()) << "three items have three times the limit";
  ASSERT_TRUE(then);
  EXPECT_GE(*then, before + 3s);
  EXPECT_EQ(inbox_.stop_overdue(after + 1h), std::nullopt);
  EXPECT_TRUE(second.timed_out());
  EXPECT_FALSE(third.stop().stop_requested());
}

TEST_F(InboxTest, ADeadlineIsATimeLimitToo) {
  const WallTime deadline =
      std::chrono::time_point_cast<WallTime::duration>(std::chrono::system_clock::now()) - 1s;
  const Portion late = pushed_and_popped(portion(1, 1h, deadline));
  const Inbox::Running running(inbox_, late);
  (void)inbox_.stop_overdue(std::chrono::steady_clock::now());
  EXPECT_TRUE(running.timed_out());
}

TEST_F(InboxTest, ACancelStopsWhatRunsAndNothingElse) {
  const Portion one = pushed_and_popped(portion(1));
  const Portion five = pushed_and_popped(portion(5));
  const Inbox::Running first(inbox_, one);
  const Inbox::Running second(inbox_, five);
  inbox_.stop_items({5});
  EXPECT_FALSE(first.stop().stop_requested());
  EXPECT_TRUE(second.stop().stop_requested());
  EXPECT_FALSE(second.timed_out());
}

TEST_F(InboxTest, ACancelOfWhatWaitsIsKeptUntilItBegins) {
  inbox_.push({portion(3)});
  inbox_.stop_items({2});
  const Portion popped = inbox_.pop({}).value();
  EXPECT_TRUE(Inbox::Running(inbox_, popped).stop().stop_requested());
  EXPECT_FALSE(Inbox::Running(inbox_, popped).stop().stop_requested()) << "and is used up then";
}

TEST_F(InboxTest, ACancelBetweenTheQueueAndTheSlotIsNotLost) {
  const Portion popped = pushed_and_popped(portion(1));
  inbox_.stop_items({1});
  EXPECT_TRUE(Inbox::Running(inbox_, popped).stop().stop_requested());
}

TEST_F(InboxTest, ACancelThatComesBeforeItsClaimIsHandedOutIsNotLost) {
  inbox_.stop_items({1});
  const Portion popped = pushed_and_popped(portion(1));
  EXPECT_TRUE(Inbox::Running(inbox_, popped).stop().stop_requested());
}

TEST_F(InboxTest, StopAllStopsWhatRuns) {
  const Portion one = pushed_and_popped(portion(1));
  const Inbox::Running running(inbox_, one);
  inbox_.stop_all();
  EXPECT_TRUE(running.stop().stop_requested());
}

TEST_F(InboxTest, ThePaceIsAnAverageOfLate) {
  EXPECT_EQ(inbox_.pace(), std::nullopt);
  inbox_.measured(0, 1s);
  EXPECT_EQ(inbox_.pace(), std::nullopt);
  inbox_.measured(10, 1s);
  EXPECT_EQ(inbox_.pace(), 100ms);
  inbox_.measured(1, 500ms);
  EXPECT_EQ(inbox_.pace(), 200ms);
}

/// What a handler may do wrong; every item of its batch has an outcome all the same.
template <class Act>
struct Doing final : Handler {
  explicit Doing(Act act) : act_(std::move(act)) {}
  void run(Batch& batch) override { act_(batch); }
  Act act_;
};

template <class Act>
std::vector<std::string> texts_after(Act act, const std::stop_token& stop = {}) {
  const Items items(3);
  Batch batch(items.items(), stop);
  Doing handler(std::move(act));
  run_guarded(handler, batch, nullptr);
  std::vector<std::string> texts;
  for (const Outcome& outcome : batch.outcomes()) {
    texts.push_back(outcome.is_done()                           ? "done"
                    : outcome.kind() == Outcome::Kind::returned ? "returned"
                                                                : outcome.text());
  }
  return texts;
}

TEST(RunGuarded, WhateverAHandlerDoesEveryItemIsSettled) {
  const std::string nothing = "the handler came back without an outcome";
  EXPECT_THAT(texts_after([](Batch& batch) { batch.settle_rest(Outcome::done()); }),
              ElementsAre("done", "done", "done"));
  EXPECT_THAT(texts_after([](Batch&) {}), ElementsAre(nothing, nothing, nothing));
  EXPECT_THAT(texts_after([](Batch& batch) { batch.settle(1, Outcome()); }),
              ElementsAre(nothing, nothing, nothing));
  EXPECT_THAT(texts_after([](Batch& batch) {
                batch.settle(0, Outcome::done());
                throw std::runtime_error("bad luck");
              }),
              ElementsAre("done", "bad luck", "bad luck"));
  const std::string strange = "the handler threw something that is no exception";
  EXPECT_THAT(texts_after([](Batch&) { throw 42; }), ElementsAre(strange, strange, strange));
}

TEST(RunGuarded, AStopHandsBackWhatIsOpenAndBeginsNothing) {
  std::stop_source stop;
  EXPECT_THAT(texts_after(
                  [&](Batch& batch) {
                    batch.settle(0, Outcome::done());
                    stop.request_stop();
                  },
                  stop.get_token()),
              ElementsAre("done", "returned", "returned"));
  EXPECT_THAT(texts_after([](Batch& batch) { batch.settle_rest(Outcome::done()); }, stop.get_token()),
              ElementsAre("returned", "returned", "returned"));
}

}  // namespace
}  // namespace weir::work
