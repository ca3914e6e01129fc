// Transactional mode on a server of its own: what crashes and ends there, and which job pays for it.

#include <atomic>
#include <functional>
#include <memory>

#include <gtest/gtest.h>

#include "pg/error.h"
#include "queue/kinds.h"
#include "queue/worker.h"
#include "schema/migrator.h"
#include "support/server.h"
#include "support/waiting.h"

namespace weir::queue {
namespace {

using namespace std::chrono_literals;
using work::Outcome;

class CrashTest : public ::testing::Test {
 protected:
  void SetUp() override {
    pg::Session session = this->session();
    schema::migrate(session);
    session.execute_script("CREATE TABLE public.effect (n int)");
  }
  [[nodiscard]] pg::Session session() const { return connector_->connect(pg::Role::api, "test"); }
  /// Fewer than none while the server does not answer.
  [[nodiscard]] std::int64_t count(const std::string& from) const {
    try {
      return session().execute("SELECT count(*) FROM " + from)[0].get<std::int64_t>(0);
    } catch (const pg::Error&) {
      return -1;
    }
  }
  /// A single job, whose handler does this as often as would use up its only attempt.
  void work(const std::function<void(pg::Session&)>& disaster, const std::string& end) {
    std::atomic<int> calls{0};
    const Kinds::Functions functions{{"", [&](const JobContext& context) -> Outcome {
                                        EXPECT_EQ(context.job.attempt, 1);
                                        if (++calls <= Suspects::kLosses) {
                                          disaster(*context.session);
                                          context.session->execute("SELECT 1");
                                        }
                                        context.session->execute("INSERT INTO public.effect VALUES (1)");
                                        return Outcome::done();
                                      }}};
    session().execute("SELECT weir.enqueue('q', '{}', max_attempts => 1)");
    Worker worker(connector_, [&] { return std::make_unique<Kinds>(functions); },
                  {.queues = {"q"}, .slots = 1, .delivery = Delivery::transactional});
    worker.start();
    test::wait_until([&] { return count(end) == 1; }, "the end of the job", 60s);
    worker.stop();
    EXPECT_EQ(count("weir.job_dead") + count("public.effect"), 1);
  }

  test::TestServer server_;
  std::shared_ptr<const pg::Connector> connector_ = std::make_shared<const pg::Connector>(server_.conninfo());
};

/// Kills a process of the server in the midst of a statement, as the kernel does for want of memory.
void kill_within(pg::Session& session, int process) {
  session.execute("DO $$ BEGIN COPY (SELECT WHERE false) TO PROGRAM 'kill -KILL " + std::to_string(process) +
                  "'; PERFORM pg_sleep(20); END $$");
}

TEST_F(CrashTest, AJobWhoseServerProcessCrashesPaysForIt) {
  work([](pg::Session& own) { kill_within(own, own.backend_pid()); }, "weir.job_dead");
}

TEST_F(CrashTest, NobodyPaysForTheCrashOfAnotherProcess) {
  work(
      [&](pg::Session& own) {
        const pg::Session other = session();
        kill_within(own, other.backend_pid());
      },
      "public.effect");
}

TEST_F(CrashTest, NorWhereAHandlerCatchesWhatToldOfIt) {
  work(
      [&](pg::Session& own) {
        const pg::Session other = session();
        EXPECT_THROW(kill_within(own, other.backend_pid()), pg::ConnectionLost);
      },
      "public.effect");
}

TEST_F(CrashTest, NobodyPaysForTheEndOfTheServer) {
  work([&](pg::Session&) { server_.restart(); }, "public.effect");
}

TEST_F(CrashTest, OnlyTheServerItselfSaysThatAnotherProcessCrashed) {
  const auto last_words = [](pg::Session& session, int process) -> std::string {
    try {
      kill_within(session, process);
    } catch (const pg::ConnectionLost& error) {
      return error.info().sqlstate;
    }
    return "none, for it lives";
  };
  pg::Session liar = session();
  for (const std::string level : {"NOTICE", "WARNING"})
    liar.execute("DO $$ BEGIN RAISE " + level + " 'as it seems' USING ERRCODE = '57P02'; END $$");
  EXPECT_EQ(last_words(liar, liar.backend_pid()), "");
  test::wait_until([&] { return count("public.effect") == 0; }, "the server to be back", 60s);
  pg::Session innocent = session();
  const pg::Session other = session();
  EXPECT_EQ(last_words(innocent, other.backend_pid()), "57P02");
}

}  // namespace
}  // namespace weir::queue
