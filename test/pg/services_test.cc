// Every service that works on the server keeps the contract of src/base/service.h.

#include <gtest/gtest.h>

#include "group/recovery.h"
#include "queue/progress_reports.h"
#include "stream/cutter.h"
#include "support/group_test.h"
#include "support/pipeline_worker_test.h"
#include "support/queue_test.h"
#include "support/service_suite.h"
#include "support/stream_test.h"
#include "work/process.h"

namespace weir {
namespace {

using work::Outcome;

std::shared_ptr<const pg::Connector> shared(const pg::Connector& connector) {
  return std::make_shared<const pg::Connector>(connector);
}

class QueueServices : public test::QueueTest {};

TEST_F(QueueServices, ProcessLease) {
  test::expect_service_contract([&] {
    return std::make_unique<work::Process>(shared(connector()), work::Process::Options{.name = "test"});
  });
}

TEST_F(QueueServices, ProgressReports) {
  test::expect_service_contract(
      [&] { return std::make_unique<queue::ProgressReports>(shared(connector())); });
}

TEST_F(QueueServices, LeasedWorker) {
  test::expect_service_contract([&] { return worker({.queues = {"q"}, .slots = 2}); });
}

TEST_F(QueueServices, TransactionalWorker) {
  test::expect_service_contract(
      [&] { return worker({.queues = {"q"}, .slots = 2, .delivery = queue::Delivery::transactional}); });
}

class StreamServices : public test::StreamTest {
 protected:
  void SetUp() override {
    StreamTest::SetUp();
    stream::create_stream(*one_, {.name = "events"});
  }
};

TEST_F(StreamServices, LeasedConsumer) {
  test::expect_service_contract([&] {
    return leased({.stream = "events", .group = "g"}, [](const work::Item&) { return Outcome::done(); });
  });
}

TEST_F(StreamServices, TransactionalConsumer) {
  test::expect_service_contract(
      [&] { return by_sql({.stream = "events", .group = "g"}, "SELECT count(*) FROM weir_chunk"); });
}

TEST_F(StreamServices, Cutter) {
  work::Process process(shared(connector()), {.name = "test"});
  process.start();
  const stream::StreamDefinition events = stream::find_stream(*one_, "events");
  test::expect_service_contract(
      [&] { return std::make_unique<stream::Cutter>(shared(connector()), process, events); });
}

class GroupServices : public test::GroupTest {};

TEST_F(GroupServices, Consumer) {
  add_sink("silver");
  for (const group::Ownership ownership : {group::Ownership::advisory, group::Ownership::lease}) {
    test::expect_service_contract([&] {
      return consumer({.sink = "silver", .concurrency = 2, .ownership = ownership},
                      inside([](const group::Batch&, const group::Application&) { return Outcome::done(); }));
    });
  }
}

TEST_F(GroupServices, Recovery) {
  const group::SinkDefinition sink = add_sink("silver");
  test::expect_service_contract([&] {
    return std::make_unique<group::Recovery>(shared(connector()), sink, "test",
                                             [](const group::RecoveryConnection::Swept&) {});
  });
}

class PipelineServices : public test::PipelineWorkerTest {};

/// With its runtime and its sender of alerts.
TEST_F(PipelineServices, Worker) {
  test::expect_service_contract([&] { return make_worker(2); });
}

}  // namespace
}  // namespace weir
