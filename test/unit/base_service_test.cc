#include <stdexcept>

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "base/error.h"
#include "base/service.h"
#include "base/test_signal.h"
#include "base/thread_service.h"
#include "base/wait.h"
#include "support/service_suite.h"
#include "support/waiting.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using namespace std::chrono_literals;

/// One thread that waits for its stop; on request its start or its work fails.
class Worker final : public ThreadService {
 public:
  explicit Worker(const std::atomic<bool>* fails = nullptr) : fails_(fails) { ended.enable(); }
  ~Worker() override { stop(); }
  [[nodiscard]] std::string_view name() const noexcept override { return "worker"; }

  void break_down() { broken_.notify(); }
  TestSignal<int> ended;

 protected:
  void run(const std::stop_token& stop, const std::function<void()>& ready) override {
    if (fails_ != nullptr && *fails_) throw std::runtime_error("cannot start");
    ready();
    const WaitEnd end = wait_fd(-1, 0, Deadline::never(), stop, broken_);
    ended.emit(0);
    if (end == WaitEnd::woken) throw std::runtime_error("broke down");
  }

 private:
  const std::atomic<bool>* fails_;
  Wakeup broken_;
};

/// Writes down what is done with it.
class Recorder final : public Service {
 public:
  Recorder(std::string name, std::vector<std::string>& record) : name_(std::move(name)), record_(record) {}
  [[nodiscard]] std::string_view name() const noexcept override { return name_; }
  void start() override {
    if (fails) throw std::runtime_error(name_ + " cannot start");
    record_.push_back("start " + name_);
  }
  void stop() noexcept override { record_.push_back("stop " + name_); }

  bool fails = false;

 private:
  std::string name_;
  std::vector<std::string>& record_;
};

class TwoWorkers final : public Service {
 public:
  explicit TwoWorkers(const std::atomic<bool>* fails = nullptr) : second_(fails) {
    group_.add(first_);
    group_.add(second_);
  }
  [[nodiscard]] std::string_view name() const noexcept override { return group_.name(); }
  void start() override { group_.start(); }
  void stop() noexcept override { group_.stop(); }

 private:
  Worker first_;
  Worker second_;
  ServiceGroup group_{"two"};
};

TEST(ServiceContract, ThreadService) {
  test::expect_service_contract([] { return std::make_unique<Worker>(); });
  test::expect_start_failure_contract([](const auto& fails) { return std::make_unique<Worker>(&fails); });
}

TEST(ServiceContract, ServiceGroup) {
  test::expect_service_contract([] { return std::make_unique<TwoWorkers>(); });
  test::expect_start_failure_contract([](const auto& fails) { return std::make_unique<TwoWorkers>(&fails); });
}

TEST(ServiceContract, AnEmptyGroup) {
  test::expect_service_contract([] { return std::make_unique<ServiceGroup>("empty"); });
}

TEST(ServiceGroup, StartsInOrderAndStopsInReverse) {
  std::vector<std::string> record;
  Recorder a("a", record);
  Recorder b("b", record);
  ServiceGroup group("group");
  group.add(a);
  group.add(b);
  group.start();
  group.stop();
  EXPECT_THAT(record, ElementsAre("start a", "start b", "stop b", "stop a"));
}

TEST(ServiceGroup, UndoesAStartThatFailsHalfWay) {
  std::vector<std::string> record;
  Recorder a("a", record);
  Recorder b("b", record);
  Recorder c("c", record);
  Recorder d("d", record);
  c.fails = true;
  ServiceGroup group("group");
  for (Recorder* member : {&a, &b, &c, &d}) group.add(*member);
  try {
    group.start();
    ADD_FAILURE() << "it started";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "c cannot start") << "the cause, not what came of it";
  }
  EXPECT_THAT(record, ElementsAre("start a", "start b", "stop b", "stop a"));
  record.clear();
  group.stop();
  EXPECT_TRUE(record.empty());

  c.fails = false;
  group.start();
  EXPECT_THAT(record, ElementsAre("start a", "start b", "start c", "start d"));
}

TEST(ServiceGroup, StopsItsMembersInItsDestructor) {
  std::vector<std::string> record;
  Recorder a("a", record);
  {
    ServiceGroup group("group");
    group.add(a);
    group.start();
  }
  EXPECT_THAT(record, ElementsAre("start a", "stop a"));
}

TEST(ThreadService, StartThrowsWhatRunThrewBeforeItWasReady) {
  const std::atomic<bool> fails{true};
  Worker worker(&fails);
  try {
    worker.start();
    ADD_FAILURE() << "it started";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "cannot start");
  }
  EXPECT_EQ(worker.failure(), nullptr) << "start() has told it";
}

TEST(ThreadService, KeepsWhyItEndedByItselfUntilTheNextStart) {
  Worker worker;
  worker.start();
  EXPECT_EQ(worker.failure(), nullptr);
  worker.break_down();
  ASSERT_TRUE(worker.ended.wait(Deadline::after(20s)));
  worker.stop();  // joins, so the failure is there by now
  ASSERT_NE(worker.failure(), nullptr);
  EXPECT_THROW(std::rethrow_exception(worker.failure()), std::runtime_error);
}

TEST(ThreadService, RunsAgainAfterItEndedByItself) {
  Worker worker;
  worker.start();
  worker.break_down();
  ASSERT_TRUE(worker.ended.wait(Deadline::after(20s)));
  test::wait_until([&] { return worker.failure() != nullptr; }, "the end to be known");
  worker.start();
  EXPECT_EQ(worker.failure(), nullptr) << "that of another life";
  worker.break_down();
  EXPECT_TRUE(worker.ended.wait(Deadline::after(20s)));
}

/// Ends before it says that it is ready, without a reason.
class Quitter final : public ThreadService {
 public:
  ~Quitter() override { stop(); }
  [[nodiscard]] std::string_view name() const noexcept override { return "quitter"; }

 protected:
  void run(const std::stop_token& /*stop*/, const std::function<void()>& /*ready*/) override {}
};

TEST(ThreadService, ARunThatEndsBeforeItIsReadyFailsItsStart) {
  Quitter quitter;
  EXPECT_THROW(quitter.start(), Error);
  quitter.stop();
  EXPECT_EQ(quitter.failure(), nullptr);
}

class Brief final : public ThreadService {
 public:
  explicit Brief(bool fails) : fails_(fails) {}
  ~Brief() override { stop(); }
  std::string_view name() const noexcept override { return "brief"; }

 protected:
  void run(const std::stop_token&, const std::function<void()>& ready) override {
    ready();
    if (fails_) throw std::runtime_error("soon");
  }

 private:
  const bool fails_;
};

// Found by a consumer with `once` that had nothing to do: its thread was over before its starter looked.
TEST(ThreadService, WhoWasReadyHasStartedHoweverSoonItEnds) {
  for (const bool fails : {false, true}) {
    for (int i = 0; i < 50; ++i) {
      Brief brief(fails);
      EXPECT_NO_THROW(brief.start());
      brief.stop();
      EXPECT_EQ(brief.failure() != nullptr, fails);
    }
  }
}

class Forgetful final : public ThreadService {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "forgetful"; }

 protected:
  void run(const std::stop_token& stop, const std::function<void()>& ready) override {
    ready();
    Wakeup unused;
    wait_fd(-1, 0, Deadline::never(), stop, unused);
  }
};

TEST(ThreadServiceDeathTest, OneThatIsDestroyedWhileItRunsStopsTheProcess) {
  EXPECT_DEATH(
      {
        Forgetful forgetful;
        forgetful.start();
      },
      "destroyed before it was stopped");
}

}  // namespace
}  // namespace weir
