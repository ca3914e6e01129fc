// Who cuts a stream, and what becomes of it when he cannot.

#include <gtest/gtest.h>

#include "stream/cutter.h"
#include "support/stream_test.h"
#include "support/waiting.h"

namespace weir::stream {
namespace {

using namespace std::chrono_literals;

class StreamCutterTest : public test::StreamTest {
 protected:
  void SetUp() override {
    StreamTest::SetUp();
    create_stream(*one_, {.name = "events", .chunk_events = 10});
  }
  /// A process with a cutter of its own.
  struct Running {
    Running(std::shared_ptr<const pg::Connector> connector, const StreamDefinition& stream)
        : process(connector, {.name = "test"}), cutter(connector, process, stream) {
      cutter.failed.enable();
      cutter.cut_done.enable();
      process.start();
      cutter.start();
    }
    work::Process process;
    Cutter cutter;
  };
  /// With the rights of a worker, who has none on the table.
  [[nodiscard]] std::shared_ptr<const pg::Connector> connector_of_a_worker() const {
    pg::Conninfo conninfo = connector().conninfo();
    conninfo.set("options", "-c role=weir_worker");
    return std::make_shared<const pg::Connector>(conninfo);
  }
};

TEST_F(StreamCutterTest, WhoCannotCutLetsAnotherOneTry) {
  const auto stream = find_stream(*one_, "events");
  group("g");
  insert(5);
  Running without_rights(connector_of_a_worker(), stream);
  ASSERT_TRUE(without_rights.cutter.failed.wait(Deadline::after(20s)));
  Running able(shared_connector(), stream);
  EXPECT_EQ(able.cutter.cut_done.wait(Deadline::after(20s)), 5);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_work"), 1);
}

TEST_F(StreamCutterTest, TwoWhoCannotDoNotTryFasterThanOne) {
  const auto stream = find_stream(*one_, "events");
  insert(5);
  // From its second failure on each leaves the stream to the other one for two seconds.
  const SteadyTime before = std::chrono::steady_clock::now();
  Running one(connector_of_a_worker(), stream);
  Running two(connector_of_a_worker(), stream);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(one.cutter.failed.wait(Deadline::after(30s)));
  EXPECT_GE(std::chrono::steady_clock::now() - before, 2s);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_chunk"), 0);
}

}  // namespace
}  // namespace weir::stream
