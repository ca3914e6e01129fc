#include "support/service_suite.h"

#include <filesystem>
#include <iterator>
#include <latch>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "support/waiting.h"

namespace weir::test {
namespace {

/// Runs `work` in several threads that begin at the same moment.
void at_once(int threads, const std::function<void(int)>& work) {
  std::latch begin(threads);
  std::vector<std::jthread> running;
  for (int i = 0; i < threads; ++i) {
    running.emplace_back([&, i] {
      begin.arrive_and_wait();
      work(i);
    });
  }
}

std::ptrdiff_t threads_of_this_process() {
  namespace fs = std::filesystem;
  return std::distance(fs::directory_iterator("/proc/self/task"), fs::directory_iterator());
}

/// A thread that was joined leaves /proc a moment later.
void expect_no_more_threads_than(std::ptrdiff_t before) {
  EXPECT_NO_THROW(
      wait_until([&] { return threads_of_this_process() <= before; }, "the service's threads to end"));
}

}  // namespace

void expect_service_contract(const std::function<std::unique_ptr<Service>()>& make) {
  const std::ptrdiff_t before = threads_of_this_process();
  {
    SCOPED_TRACE("destroyed without start, and while started");
    const auto never = make();
    const auto running = make();
    running->start();
  }
  expect_no_more_threads_than(before);
  const auto service = make();
  {
    SCOPED_TRACE("stop before start, twice");
    service->stop();
    service->stop();
  }
  {
    SCOPED_TRACE("start twice, stop twice, and again");
    for (int round = 0; round < 3; ++round) {
      EXPECT_NO_THROW(service->start());
      EXPECT_NO_THROW(service->start());
      service->stop();
      service->stop();
      expect_no_more_threads_than(before);
    }
  }
  {
    SCOPED_TRACE("several threads stop it");
    service->start();
    at_once(4, [&](int) { service->stop(); });
  }
  {
    SCOPED_TRACE("several threads start and stop it");
    at_once(4, [&](int thread) {
      for (int i = 0; i < 5; ++i) {
        if (thread % 2 == 0) {
          service->start();
        } else {
          service->stop();
        }
      }
    });
    service->stop();
  }
  EXPECT_NO_THROW(service->start());
  EXPECT_FALSE(service->name().empty());
  service->stop();
  expect_no_more_threads_than(before);
}

void expect_start_failure_contract(
    const std::function<std::unique_ptr<Service>(const std::atomic<bool>& fails)>& make) {
  const std::ptrdiff_t before = threads_of_this_process();
  std::atomic<bool> fails{true};
  {
    SCOPED_TRACE("destroyed after a start that failed");
    const auto service = make(fails);
    EXPECT_ANY_THROW(service->start());
  }
  const auto service = make(fails);
  {
    SCOPED_TRACE("a start that failed leaves it stopped");
    EXPECT_ANY_THROW(service->start());
    expect_no_more_threads_than(before);
    service->stop();
    EXPECT_ANY_THROW(service->start());
  }
  {
    SCOPED_TRACE("and can be tried again");
    fails = false;
    EXPECT_NO_THROW(service->start());
    service->stop();
    expect_no_more_threads_than(before);
  }
}

}  // namespace weir::test
