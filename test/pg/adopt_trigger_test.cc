// Being woken by the table's trigger: no wake-up is lost, and no NOTIFY is sent while nobody sleeps.
#include "queue/adopt_trigger.h"

#include <iostream>
#include <thread>

#include <unistd.h>

#include <gtest/gtest.h>

#include "base/test_signal.h"
#include "queue/adopt_catalog.h"
#include "schema/migrator.h"
#include "support/adopt.h"
#include "support/waiting.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class AdoptTrigger : public AdoptTest {
 protected:
  void make(Shape shape) {
    make_events(shape, 0);
    pg::Session session = this->session();
    schema::migrate(session, {.limit = pg::Limit::within(60s)});
    EXPECT_TRUE(queue::install_wake_trigger(session, facts(), {}));
    EXPECT_TRUE(queue::has_wake_trigger(session, adopted().table_id));
  }
  [[nodiscard]] queue::AdoptFacts facts() const {
    pg::Session session = this->session();
    return queue::read_adopt_facts(session, "events");
  }
  void insert(const std::string& time = "now()") const {
    session().execute("INSERT INTO events (event_timestamp) VALUES (" + time + ")");
  }
};

/// Never polls by itself within the test, so that only a notification helps.
class RunningConsumer {
 public:
  RunningConsumer(std::shared_ptr<const pg::Connector> connector, const queue::Adopted& adopted, int workers)
      : consumer_(std::move(connector), adopted,
                  [this] {
                    return std::make_unique<FunctionHandler>([this](work::Batch& batch) {
                      for (std::size_t i = 0; i < batch.items().size(); ++i) handled_.emit(1);
                      batch.settle_rest(work::Outcome::done());
                    });
                  },
                  {.workers = workers, .poll = 1h}) {
    handled_.enable();
    consumer_.sleeps.enable();
    thread_ = std::jthread([this](const std::stop_token& stop) {
      try {
        consumer_.run(stop);
      } catch (const std::exception& error) {
        ADD_FAILURE() << error.what();
      }
    });
  }

  bool handles_one() { return handled_.wait(Deadline::after(20s)).has_value(); }
  bool falls_asleep() { return consumer_.sleeps.wait(Deadline::after(20s)).has_value(); }

 private:
  TestSignal<int> handled_;
  queue::AdoptConsumer consumer_;
  std::jthread thread_;
};

TEST_F(AdoptTrigger, AnInsertWakesASleepingConsumer) {
  make(Shape::partitioned);
  RunningConsumer consumer(consumers_connector(), adopted(), 1);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(consumer.falls_asleep()) << i;
    insert(i == 3 ? "'2020-01-01'" : "now()");
    ASSERT_TRUE(consumer.handles_one()) << i;
  }
}

TEST_F(AdoptTrigger, NoInsertIsLostAtWhateverMomentItComes) {
  make(Shape::plain);
  RunningConsumer consumer(consumers_connector(), adopted(), 3);
  std::jthread other([&] {
    // Also below the workers' marks.
    for (int i = 0; i < 300; ++i)
      insert("'2020-01-01'::timestamptz - " + std::to_string(i) + " * interval '1 s'");
  });
  for (int i = 0; i < 300; ++i) {
    insert();
    ASSERT_TRUE(consumer.handles_one()) << i;
  }
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(consumer.handles_one()) << i;
}

TEST_F(AdoptTrigger, ATransactionThatWasOpenWhenItFellAsleepIsNotMissed) {
  make(Shape::plain);
  pg::Session early = session();
  early.execute_script("BEGIN; INSERT INTO events (event_timestamp) VALUES (now())");
  RunningConsumer consumer(consumers_connector(), adopted(), 1);
  // Its trigger has run, and no sleeper was there: its commit will tell nobody. So after its registration the
  // consumer must go on looking.
  pg::Session look = session();
  const auto is = [&](const std::string& condition) {
    return look.execute("SELECT EXISTS (SELECT FROM " + condition + ")")[0].get<bool>(0);
  };
  wait_until([&] { return is("pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock'"); },
             "its registration");
  look.execute("CREATE TEMPORARY TABLE registered AS SELECT clock_timestamp() AS at");
  wait_until(
      [&] {
        return is(
            "pg_stat_activity a, registered r WHERE a.application_name LIKE 'weir:task:%' AND "
            "a.query_start > r.at + interval '200 ms'");
      },
      "the consumer to look again");
  look.execute("DROP TABLE registered");
  early.execute("COMMIT");
  EXPECT_TRUE(consumer.handles_one());
}

TEST_F(AdoptTrigger, ALostListenerIsReplacedAndWakesAgain) {
  make(Shape::plain);
  RunningConsumer consumer(consumers_connector(), adopted(), 1);
  ASSERT_TRUE(consumer.falls_asleep());
  pg::Session killer = session();
  const auto pid = killer
                       .execute(
                           "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND "
                           "application_name LIKE 'weir:listen:%'")[0]
                       .get<std::int32_t>(0);
  terminate_backend(connector(), pid);
  ASSERT_TRUE(consumer.falls_asleep());
  insert();
  EXPECT_TRUE(consumer.handles_one());
}

TEST_F(AdoptTrigger, WhileNobodySleepsNothingIsSent) {
  make(Shape::plain);
  TestSignal<std::string> heard;
  heard.enable();
  pg::Listener listener(consumers_connector(), "test");
  const auto channel = queue::wake_channel(adopted().table_id);
  const auto subscription = listener.subscribe(channel, [&](const pg::Listener::Event& event) {
    heard.emit(event.resync ? "resync" : std::string(event.payload));
  });
  listener.start();
  EXPECT_EQ(heard.wait(Deadline::after(20s)), "resync");
  insert();
  session().execute("SELECT pg_notify($1, 'sentinel')", channel);
  EXPECT_EQ(heard.wait(Deadline::after(20s)), "sentinel");
  pg::Session sleeper = session();
  sleeper.execute(
      "SELECT pg_advisory_lock_shared(hashtextextended('weir sleep:' || 'events'::regclass::oid, 0))");
  insert();
  EXPECT_EQ(heard.wait(Deadline::after(20s)), "");
}

TEST_F(AdoptTrigger, InstallingStepsBackFromALockAndTriesAgain) {
  make_events(Shape::plain, 3);
  pg::Session session = this->session();
  EXPECT_THROW(queue::install_wake_trigger(session, facts(), {}), Error);  // no schema yet
  schema::migrate(session, {.limit = pg::Limit::within(60s)});
  pg::Session writer = this->session();
  writer.execute_script("BEGIN; UPDATE events SET payload = ''");
  int retries = 0;
  EXPECT_TRUE(queue::install_wake_trigger(session, facts(), {.lock_timeout = 10ms, .on_retry = [&](int) {
                                                               if (++retries == 2) writer.execute("COMMIT");
                                                             }}));
  EXPECT_EQ(retries, 2);
  EXPECT_FALSE(queue::install_wake_trigger(session, facts(), {}));
  session.execute("ALTER TABLE events DISABLE TRIGGER weir_consume_wake");
  EXPECT_TRUE(queue::install_wake_trigger(session, facts(), {}));
  EXPECT_TRUE(queue::has_wake_trigger(session, adopted().table_id)) << "one that is off wakes nobody";
  EXPECT_TRUE(queue::remove_wake_trigger(session, facts(), {}));
  EXPECT_FALSE(queue::remove_wake_trigger(session, facts(), {}));
}

}  // namespace
}  // namespace weir::test
