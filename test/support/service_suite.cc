#include "support/service_suite.h"

#include <latch>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

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

}  // namespace

void expect_service_contract(const std::function<std::unique_ptr<Service>()>& make) {
  {
    SCOPED_TRACE("destroyed without start, and while started");
    const auto never = make();
    const auto running = make();
    running->start();
  }
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
}

}  // namespace weir::test
