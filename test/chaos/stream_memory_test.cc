// What a consumer takes of memory does not grow with what one transaction wrote: processes that consume it,
// and the most that each of them ever had. They are asked for it while they live: what is counted of a child
// that has ended may be its parent's.

#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <fmt/format.h>

#include "exec/child.h"
#include "support/crew.h"
#include "support/stream_test.h"
#include "support/waiting.h"

namespace weir::stream {
namespace {

using namespace std::chrono_literals;

/// A fraction of what is consumed.
constexpr std::int64_t kMostKibibytes = 100 * 1024;

/// The most that a process ever had; 0 when it is gone.
std::int64_t peak_of(pid_t pid) {
  std::ifstream status(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoll(line.substr(line.find_first_of("0123456789")));
  }
  return 0;
}

std::string weir_binary() {
  const char* chosen = std::getenv("WEIR_BINARY");
  return chosen != nullptr && *chosen != '\0' ? chosen : WEIR_DEFAULT_BINARY;
}

/// Neither of the two waits for a full buffer of input, and what they say goes out at once.
constexpr const char* kAcknowledge = R"(grep --line-buffered '^{"end":' | sed -u 's/.*/{"ack":"all"}/')";
constexpr const char* kEffect = "INSERT INTO public.effect SELECT 'sql', event_id FROM weir_chunk";

bool bounded(std::int64_t peak) { return peak > 0 && peak < kMostKibibytes; }

class StreamMemoryTest : public test::StreamTest {
 protected:
  void SetUp() override {
    StreamTest::SetUp();
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "a sanitizer takes memory of its own";
#endif
    one_->set_timeout(5min);
    create_stream(*one_, {.name = "events"});
    one_->execute("CREATE TABLE public.effect (group_name text, event bigint)");
  }

  /// One transaction, in chunks before each group.
  void fill(std::int64_t events, std::int64_t bytes) {
    for (const std::string name : {"command", "sql", "handler"}) group(name);
    one_->execute(
        "INSERT INTO events (key, payload) SELECT 'k', pg_catalog.jsonb_build_object('n', n, 'text', "
        "pg_catalog.repeat('x', $2::int8::int4)) FROM pg_catalog.generate_series(1, $1::int8) n",
        events, bytes);
    cut_all();
  }
  void wait_until_done(const std::string& name) {
    const std::string left = fmt::format(
        "SELECT (SELECT count(*) FROM weir.stream_work {0}) + (SELECT count(*) FROM weir.stream_claim {0}) + "
        "(SELECT count(*) FROM weir.stream_letter {0})",
        fmt::format("WHERE group_id = (SELECT id FROM weir.stream_group WHERE name = '{}')", name));
    test::wait_until([&] { return number(left) == 0; }, "the group to be done", 5min);
  }
  std::int64_t effects_of(const std::string& name) {
    return number(fmt::format("SELECT count(*) FROM public.effect WHERE group_name = '{}'", name));
  }

  /// Of `weir stream consume` with these words.
  std::int64_t peak_of_weir(const std::string& name, const std::vector<std::string>& words) {
    exec::Command command;
    command.argv = {weir_binary(), "stream", "consume", "events", "--group", name, "-w", "2"};
    command.argv.insert(command.argv.end(), words.begin(), words.end());
    command.env["DATABASE_URL"] = url();
    command.grace = 1min;
    exec::Child program(command);
    exec::Outcome outcome;
    std::int64_t peak = 0;
    {
      const std::jthread running(
          [&](const std::stop_token& stop) { outcome = program.wait(Deadline::never(), stop); });
      try {
        wait_until_done(name);
        peak = peak_of(program.pid());
      } catch (const std::exception& error) {
        ADD_FAILURE() << error.what();
      }
    }
    EXPECT_EQ(outcome.exit_status, 0) << outcome.describe() << outcome.err;
    return peak;
  }
  /// Of a process with a handler in C++, in the transaction that strikes the events off.
  std::int64_t peak_of_handler() {
    test::Crew crew("ChaosConsumer.DISABLED_Run", folder_.path(), 1);
    crew.start(0, {{"WEIR_CHAOS_GROUP", "handler"}, {"WEIR_CHAOS_URL", url()}});
    wait_until_done("handler");
    const std::int64_t peak = peak_of(crew.pid(0));
    crew.stop_all();
    return peak;
  }

  void expect_bounded(std::int64_t events) {
    const std::int64_t of_command = peak_of_weir("command", {"--", "sh", "-c", kAcknowledge});
    EXPECT_PRED1(bounded, of_command);
    const std::int64_t of_sql = peak_of_weir("sql", {"--sql", kEffect});
    EXPECT_PRED1(bounded, of_sql);
    EXPECT_EQ(effects_of("sql"), events);
    const std::int64_t of_handler = peak_of_handler();
    EXPECT_PRED1(bounded, of_handler);
    EXPECT_EQ(effects_of("handler"), events);
    fmt::print("[ memory   ] command {} KiB, SQL {} KiB, handler {} KiB\n", of_command, of_sql, of_handler);
  }

  test::ScratchFolder folder_{"stream-memory"};
};

// 200 MB of small events.
TEST_F(StreamMemoryTest, OfOneTransactionWithVeryManyEvents) {
  fill(200'000, 1'000);
  expect_bounded(200'000);
}

// 400 MB in one chunk; the server keeps them compressed. Only SQL: others hold them all (docs/streams.md,
// Limits).
TEST_F(StreamMemoryTest, OfAChunkOfLargePayloads) {
  fill(400, 1'000'000);
  EXPECT_PRED1(bounded, peak_of_weir("sql", {"--sql", kEffect}));
  EXPECT_EQ(effects_of("sql"), 400);
}

}  // namespace
}  // namespace weir::stream
