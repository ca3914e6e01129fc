// What an idle consumer of groups does after a look in vain: pauses, lying down, sleep.

#include <array>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "group/rest.h"

namespace weir::group {
namespace {

using namespace std::chrono_literals;
using ::testing::Each;
using ::testing::ElementsAre;
using Step = Rest::Step;

constexpr Rest::Look kUp{};
constexpr Rest::Look kLying{.lying = true, .decided = true};

std::string describe(const Rest::Action& action) {
  constexpr std::array kNames{"look", "lie down", "sleep"};
  return std::string(kNames.at(static_cast<std::size_t>(action.step))) + ' ' +
         std::to_string(action.pause / 1ms);
}

/// One that has lain down, found nothing, and sleeps.
void fall_asleep(Rest& rest) {
  ASSERT_EQ(describe(rest.found_nothing(kUp)), "lie down 0");
  ASSERT_EQ(rest.found_nothing(kLying).step, Step::sleep);
}

/// How long it stays up after it was told in vain, before it lies down again.
std::string told_in_vain(Rest& rest, const Rest::Look& look = kUp) {
  rest.woken();
  std::string pauses = describe(rest.found_nothing(look));
  EXPECT_EQ(describe(rest.found_nothing(look)), "lie down 0");
  EXPECT_EQ(rest.found_nothing({.lying = true, .decided = true, .begun = look.begun}).step, Step::sleep);
  return pauses;
}

TEST(GroupRest, WhoHasHadNoWorkSleepsForAsLongAsHeMay) {
  Rest rest({.poll = 1h});
  fall_asleep(rest);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(describe(rest.found_nothing(kLying)), "sleep 3600000");
}

TEST(GroupRest, WhoHadWorkLooksAFewTimesAndSleepsForLongerEachTime) {
  Rest rest({.poll = 100ms});
  rest.found_work();
  std::vector<std::string> seen;
  for (int i = 0; i < 5; ++i) seen.push_back(describe(rest.found_nothing({.begun = 1})));
  EXPECT_THAT(seen, ElementsAre("look 5", "look 5", "look 5", "look 8", "lie down 0"));
  EXPECT_EQ(describe(rest.found_nothing({.lying = true, .decided = false, .begun = 1})), "look 5");
  rest.found_work();
  for (int i = 0; i < 5; ++i) (void)rest.found_nothing({.begun = 2});
  seen.clear();
  for (int i = 0; i < 3; ++i)
    seen.push_back(describe(rest.found_nothing({.lying = true, .decided = true, .begun = 2})));
  EXPECT_THAT(seen, ElementsAre("sleep 100", "sleep 100", "sleep 100"));
}

TEST(GroupRest, WhoIsToldInVainStaysUpForLongerEachTimeBeforeHeLiesDown) {
  Rest rest({.poll = 1s});
  fall_asleep(rest);
  std::vector<std::string> seen;
  for (int i = 0; i < 7; ++i) seen.push_back(told_in_vain(rest));
  EXPECT_THAT(seen,
              ElementsAre("look 10", "look 20", "look 40", "look 80", "look 160", "look 250", "look 250"));
}

TEST(GroupRest, NoPauseIsLongerThanThePoll) {
  Rest rest({.poll = 15ms});
  fall_asleep(rest);
  EXPECT_EQ(told_in_vain(rest), "look 10");
  for (int i = 0; i < 5; ++i) EXPECT_EQ(told_in_vain(rest), "look 15");
}

TEST(GroupRest, WhoBeganSomethingIsUpForShortAgain) {
  Rest rest({.poll = 1s});
  fall_asleep(rest);
  for (int i = 0; i < 7; ++i) (void)told_in_vain(rest);
  rest.woken();
  rest.found_work();
  EXPECT_EQ(describe(rest.found_nothing({.begun = 1})), "look 5") << "that was not in vain";
  for (int i = 0; i < 3; ++i) EXPECT_EQ(rest.found_nothing({.begun = 1}).step, Step::look_later);
  EXPECT_EQ(rest.found_nothing({.begun = 1}).step, Step::lie_down);
  EXPECT_EQ(rest.found_nothing({.lying = true, .decided = true, .begun = 1}).step, Step::sleep);
  EXPECT_EQ(told_in_vain(rest, {.begun = 1}), "look 10");
}

TEST(GroupRest, WhoTriedAGroupThatAnotherHadWasToldInVain) {
  Rest rest({.poll = 1s});
  fall_asleep(rest);
  std::vector<std::string> seen;
  for (int i = 0; i < 3; ++i) {
    rest.woken();
    rest.found_work();  // and nothing of it was begun
    seen.push_back(describe(rest.found_nothing({.found_some = true})));
    EXPECT_EQ(rest.found_nothing(kUp).step, Step::lie_down);
    EXPECT_EQ(rest.found_nothing(kLying).step, Step::sleep);
  }
  EXPECT_THAT(seen, ElementsAre("look 10", "look 20", "look 40"));
}

TEST(GroupRest, WhoIsToldAndDoesNotSeeAllLooksOnSoon) {
  constexpr Rest::Look kCut{.saw_all = false};
  Rest rest({.poll = 1h});
  for (int i = 0; i < 40; ++i) (void)rest.found_nothing(kCut);
  EXPECT_EQ(describe(rest.found_nothing(kCut)), "look 3600000");
  fall_asleep(rest);
  rest.woken();
  std::vector<std::string> seen;
  for (int i = 0; i < 4; ++i) seen.push_back(describe(rest.found_nothing(kCut)));
  EXPECT_THAT(seen, ElementsAre("look 5", "look 10", "look 20", "look 40"));
  EXPECT_EQ(describe(rest.found_nothing(kUp)), "look 10") << "only now it was in vain";
  EXPECT_EQ(describe(rest.found_nothing(kUp)), "lie down 0");
}

TEST(GroupRest, WhoHasJustLainDownLooksSoonAgainHoweverOftenHeLookedBefore) {
  Rest rest({.poll = 1s});
  fall_asleep(rest);
  for (int i = 0; i < 12; ++i) (void)rest.found_nothing(kLying);
  rest.woken();
  (void)rest.found_nothing(kUp);
  ASSERT_EQ(rest.found_nothing(kUp).step, Step::lie_down);
  EXPECT_EQ(describe(rest.found_nothing({.lying = true})), "look 5") << "undecided";
}

TEST(GroupRest, WhoCannotBeWokenNeverLiesDown) {
  Rest rest({.poll = 1s, .may_sleep = false});
  std::vector<Step> steps;
  for (int i = 0; i < 20; ++i) steps.push_back(rest.found_nothing(kUp).step);
  EXPECT_THAT(steps, Each(Step::look_later));
  EXPECT_EQ(describe(rest.found_nothing(kUp)), "look 1000");
  rest.found_work();
  EXPECT_EQ(describe(rest.found_nothing(kUp)), "look 5");
}

}  // namespace
}  // namespace weir::group
