// What weir.enqueue() and weir.enqueue_many() say to SQL that asks for what cannot be.

#include <string>

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "pg/error.h"
#include "support/queue_test.h"

namespace weir::queue {
namespace {

using ::testing::HasSubstr;

class EnqueueTest : public test::QueueTest {
 protected:
  /// What the server says against it, with its hint.
  std::string refusal(const std::string& sql) {
    try {
      session().execute(sql);
    } catch (const pg::Error& error) {
      return error.info().message + " | " + error.info().hint;
    }
    return "taken";
  }
};

TEST_F(EnqueueTest, AQueueMustHaveAName) {
  for (const std::string name : {"NULL", "''", "repeat('q', 101)"}) {
    for (const std::string& call : {"weir.enqueue(" + name + ")", "weir.enqueue_many(" + name + ", '{1}')"}) {
      EXPECT_THAT(refusal("SELECT " + call),
                  AllOf(HasSubstr("cannot be the name of a queue"), HasSubstr("1 to 100 characters")))
          << call;
    }
  }
  EXPECT_EQ(count("weir.queue"), 0);
}

TEST_F(EnqueueTest, NumbersOutsideOfTheirRangeAreNamed) {
  for (const std::string priority : {"40000", "-32769", "NULL"}) {
    for (const std::string& call : {"weir.enqueue('q', priority => " + priority + ")",
                                    "weir.enqueue_many('q', '{1}', priority => " + priority + ")"}) {
      EXPECT_THAT(refusal("SELECT " + call), HasSubstr("-32768 (first) to 32767 (last)")) << call;
    }
  }
  for (const std::string call :
       {"weir.enqueue('q', max_attempts => 0)", "weir.enqueue_many('q', '{1}', max_attempts => 40000)"}) {
    EXPECT_THAT(refusal("SELECT " + call), HasSubstr("must be 1 to 32767")) << call;
  }
  for (const std::string span : {"0", "-1 h"}) {
    EXPECT_THAT(refusal("SELECT weir.enqueue('q', unique_key => 'k', unique_for => '" + span + "')"),
                AllOf(HasSubstr("must be more than nothing"), HasSubstr("as long as the job")));
  }
  EXPECT_EQ(count("weir.job"), 0);
}

TEST_F(EnqueueTest, TheLastOfEachRangeIsTaken) {
  EXPECT_EQ(refusal("SELECT weir.enqueue(repeat('q', 100), priority => 32767, max_attempts => 32767)"),
            "taken");
  EXPECT_EQ(refusal("SELECT weir.enqueue_many('q', '{1,2}', priority => -32768, max_attempts => 1)"),
            "taken");
  EXPECT_EQ(refusal("SELECT weir.enqueue('q', unique_key => 'k', unique_for => '1 us')"), "taken");
  EXPECT_EQ(count("weir.job"), 4);
}

}  // namespace
}  // namespace weir::queue
