// The runtime on a source of work that does what the test says: what only shows when two things meet.

#include <atomic>

#include <poll.h>

#include <gtest/gtest.h>

#include "base/test_signal.h"
#include "schema/queries/work.h"
#include "support/database.h"
#include "support/waiting.h"
#include "work/runtime.h"

namespace weir::work {
namespace {

using namespace std::chrono_literals;

class OneItem final : public Claim {
 public:
  explicit OneItem(bool heavy = false) : heavy_(heavy) {}
  [[nodiscard]] std::span<const Item> items() const noexcept override { return {&item_, 1}; }
  [[nodiscard]] bool is_heavy(std::size_t /*index*/) const noexcept override { return heavy_; }
  void load(std::size_t /*index*/, pg::Session& /*session*/) override {
    throw std::runtime_error("no payload today");
  }

 private:
  Item item_{.id = 1};
  bool heavy_;
};

class Source final : public ClaimSource {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "test"; }
  [[nodiscard]] std::vector<std::string> topics() const override { return {"test"}; }
  std::shared_ptr<Claim> claim(pg::Session& session, const Life& life, std::size_t /*wanted*/,
                               bool /*thorough*/) override {
    ++claims;
    return on_claim ? on_claim(session, life) : nullptr;
  }
  void resolve(pg::Session& /*session*/, const Life& /*life*/) override {}
  [[nodiscard]] std::optional<Duration> next_look() const override {
    return on_next_look ? on_next_look() : std::nullopt;
  }
  bool has_more(pg::Session& /*session*/) override { return true; }
  std::size_t settle(pg::Session& /*session*/, const Life& /*life*/, std::vector<Settlement>& pending,
                     bool /*all*/) override {
    for (const Settlement& settlement : pending) last = settlement.outcomes.front().kind();
    settled += static_cast<int>(pending.size());
    pending.clear();
    return 0;
  }
  void drop(const Settlement& /*settlement*/) noexcept override {}
  std::vector<std::int64_t> cancelled(pg::Session& /*session*/, const Life& /*life*/) override {
    ++asked_for_cancels;
    return {};
  }
  void rescue(pg::Session& /*session*/) override {}
  Duration keep(pg::Session& /*session*/, const Life& /*life*/) override {
    ++keeps;
    if (keep_fails.exchange(false)) throw std::runtime_error("a bad day");
    return 1h;
  }
  void poke() { keep_soon(); }

  std::function<std::shared_ptr<Claim>(pg::Session&, const Life&)> on_claim;
  std::function<std::optional<Duration>()> on_next_look;
  std::atomic<int> claims{0};
  std::atomic<int> settled{0};
  std::atomic<Outcome::Kind> last{Outcome::Kind::open};
  std::atomic<int> keeps{0};
  std::atomic<int> asked_for_cancels{0};
  std::atomic<bool> keep_fails{false};
};

class Doing final : public Handler {
 public:
  explicit Doing(std::function<void()> what) : what_(std::move(what)) {}
  void run(Batch& batch) override {
    if (what_) what_();
    batch.settle_rest(Outcome::done());
  }

 private:
  std::function<void()> what_;
};

class RuntimeTest : public test::SchemaTest {
 protected:
  void TearDown() override {
    if (runtime_) runtime_->stop();
    runtime_.reset();
    process_.reset();
    SchemaTest::TearDown();
  }

  /// Ends with its scope: to be made behind what the source and the handler refer to.
  class Running {
   public:
    explicit Running(Runtime& runtime) : runtime_(runtime) { runtime_.start(); }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    ~Running() { runtime_.stop(); }

   private:
    Runtime& runtime_;
  };

  [[nodiscard]] Running start() {
    process_.emplace(shared_connector(), Process::Options{.name = "test", .lease = 1h});
    process_->start();
    runtime_.emplace(
        shared_connector(), *process_, source_, [this] { return std::make_unique<Doing>(handler_); },
        RuntimeOptions{.slots = 2, .longest_sleep = 1h, .asleep = &asleep_});
    asleep_.enable();
    return Running(*runtime_);
  }
  void wake() { session().execute("SELECT weir.wake('test')"); }

  Source source_;
  std::function<void()> handler_;
  TestSignal<int> asleep_;
  std::optional<Process> process_;
  std::optional<Runtime> runtime_;
};

TEST_F(RuntimeTest, AClaimIsHandedOutAlsoWhenTheListeningSessionIsLostInThatMoment) {
  std::atomic<bool> armed{false};
  std::atomic<int> handled{0};
  handler_ = [&] { ++handled; };
  source_.on_claim = [&](pg::Session& session, const Life& life) -> std::shared_ptr<Claim> {
    if (!armed.exchange(false)) return nullptr;
    session.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = $1",
        "weir:listen:" + life.session_id());
    return std::make_shared<OneItem>();
  };
  const Running running = start();
  ASSERT_TRUE(asleep_.wait(Deadline::after(20s)));
  armed = true;
  wake();
  test::wait_until([&] { return source_.settled == 1; }, "the item that was claimed");
  EXPECT_EQ(handled, 1);
}

TEST_F(RuntimeTest, WhatIsSettledWhileItDecidesToWaitIsNoticed) {
  Wakeup go_on;
  std::atomic<bool> gate_passed{false};
  handler_ = [&] {
    Wakeup unused;
    wait_fd(go_on.fd(), POLLIN, Deadline::after(20s), {}, unused);
  };
  source_.on_claim = [&](pg::Session&, const Life&) -> std::shared_ptr<Claim> {
    return source_.claims == 1 ? std::make_shared<OneItem>() : nullptr;
  };
  source_.on_next_look = [&]() -> std::optional<Duration> {
    if (!gate_passed && asleep_.wait(Deadline(SteadyTime()))) {
      go_on.notify();
      test::wait_until([&] { return runtime_->in_flight() == 0; }, "the item to be settled");
      source_.claims = 1000;
      gate_passed = true;
    }
    return 1h;
  };
  const Running running = start();
  test::wait_until([&] { return gate_passed.load(); }, "the gate");
  test::wait_until([&] { return source_.claims > 1000; }, "another look");
  EXPECT_EQ(runtime_->in_flight(), 0U);
}

TEST_F(RuntimeTest, WhoStopsWakesAnotherForWhatItMayHaveBeenWokenFor) {
  pg::Session sleeper = session();
  sleeper.execute_script(
      "INSERT INTO weir.process (id, name, lease_until) OVERRIDING SYSTEM VALUE VALUES (4711, 'x', "
      "'infinity');"
      "INSERT INTO weir.listener VALUES ('test', 4711);"
      "LISTEN weir_4711");
  const Running running = start();
  ASSERT_TRUE(asleep_.wait(Deadline::after(20s)));
  const std::vector<std::string_view> topics{"test"};
  sleeper.run<sql::LieDown>(std::int64_t{4711}, topics);
  runtime_->stop();
  Wakeup unused;
  while (sleeper.wait_readable({.deadline = Deadline::after(20s)}, unused) == WaitEnd::ready) {
    if (sleeper.next_notification()) return;
  }
  FAIL() << "nobody was told";
}

TEST_F(RuntimeTest, APayloadThatCannotBeReadIsNotAskedForAgainAtOnce) {
  source_.on_claim = [&](pg::Session&, const Life&) -> std::shared_ptr<Claim> {
    return source_.claims == 1 ? std::make_shared<OneItem>(true) : nullptr;
  };
  const Running running = start();
  test::wait_until([&] { return source_.settled == 1; }, "the outcome");
  EXPECT_EQ(source_.last, Outcome::Kind::snoozed);
}

TEST_F(RuntimeTest, ARoundOfHousekeepingThatFailsForgetsNoRequest) {
  const Running running = start();
  test::wait_until([&] { return source_.asked_for_cancels == 1; }, "the first round");
  source_.keep_fails = true;
  source_.poke();
  test::wait_until([&] { return source_.asked_for_cancels == 2; }, "the cancel requests to be read");
  test::wait_until([&] { return !source_.keep_fails; }, "the round to have failed");
  EXPECT_GE(source_.asked_for_cancels, 2);
}

class ProcessTest : public RuntimeTest {
 protected:
  void SetUp() override {
    RuntimeTest::SetUp();
    process_.emplace(shared_connector(), Process::Options{.name = "test", .lease = 1h});
    process_->start();
  }
  std::int64_t count(const std::string& from) {
    return session().execute("SELECT count(*) FROM " + from)[0].get<std::int64_t>(0);
  }
};

TEST_F(ProcessTest, SignsOffAlsoWhenItsSessionWasLostUnnoticed) {
  EXPECT_EQ(session()
                .execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity, weir.process p "
                         "WHERE application_name = 'weir:recovery:p' || p.id")
                .rows(),
            1)
      << "a dead process's sessions are found by its name";
  process_->stop();
  EXPECT_EQ(count("weir.process"), 0);
}

TEST_F(ProcessTest, ThatWasDeclaredDeadWhileItStoppedBuriesItselfUnlessItOwnsAnything) {
  session().execute("UPDATE weir.process SET dead = true");
  process_->stop();
  EXPECT_EQ(count("weir.process"), 0);

  process_->start();
  session().execute("UPDATE weir.process SET dead = true");
  session().execute(
      "INSERT INTO weir.job_claim (worker_id, number, queue_id, lane, jobs) "
      "SELECT id, 1, 1, 0, '{}' FROM weir.process");
  process_->stop();
  EXPECT_EQ(count("weir.process"), 1) << "its rescuer needs it";
}

}  // namespace
}  // namespace weir::work
