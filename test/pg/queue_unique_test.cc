// Unique keys: of jobs that wait, run and have ended, and for a time.

#include <atomic>

#include <poll.h>

#include <gtest/gtest.h>

#include "queue_client_fixture.h"
#include "support/waiting.h"

namespace weir::queue {
namespace {

using namespace std::chrono_literals;

work::Outcome done(const JobContext& /*context*/) { return work::Outcome::done(); }
work::Outcome dies(const JobContext& /*context*/) { return work::Outcome::discarded("no good"); }

TEST_F(ClientTest, AUniqueKeyOfAJobThatWaits) {
  for (const bool later : {false, true}) {
    session().execute("DELETE FROM weir.job");
    session().execute("DELETE FROM weir.job_later");
    session().execute("DELETE FROM weir.job_unique");
    NewJob job{.queue = "q", .payload = "1", .unique_key = "u"};
    if (later) job.delay = 1h;
    const auto id = client_->enqueue(job);
    const std::string where = later ? "weir.job_later" : "weir.job";

    EXPECT_EQ(client_->enqueue({.queue = "q", .payload = "2", .unique_key = "u"}), id);
    EXPECT_EQ(text("SELECT payload FROM " + where), "1");
    EXPECT_NE(client_->enqueue({.queue = "other", .payload = "2", .unique_key = "u"}), id) << "per queue";
    session().execute(
        "DELETE FROM weir.job WHERE queue_id = (SELECT id FROM weir.queue WHERE name = 'other')");

    EXPECT_EQ(client_->enqueue({.queue = "q",
                                .payload = "2",
                                .max_attempts = 7,
                                .unique_key = "u",
                                .if_exists = IfExists::replace}),
              id);
    EXPECT_EQ(text("SELECT payload::text || ' ' || coalesce(own_id, seq) FROM weir.job"),
              "2 " + std::to_string(id));
    EXPECT_EQ(count("weir.job_later"), "0");

    EXPECT_EQ(client_->enqueue({.queue = "q",
                                .payload = "3",
                                .delay = 2h,
                                .unique_key = "u",
                                .if_exists = IfExists::reschedule}),
              id);
    EXPECT_EQ(text("SELECT payload::text || ' ' || max_attempts FROM weir.job_later"
                   " WHERE run_at > now() + interval '1 h' AND id = " +
                   std::to_string(id)),
              "2 7");
    EXPECT_EQ(count("weir.job"), "0");
    EXPECT_EQ(count("weir.job_unique WHERE unique_key = 'u' AND job_id = " + std::to_string(id)), "1");
  }
}

TEST_F(ClientTest, AUniqueKeyOfAJobThatRuns) {
  for (const IfExists choice : {IfExists::ignore, IfExists::replace, IfExists::reschedule}) {
    Wakeup begun;
    Wakeup go_on;
    std::atomic<int> calls{0};
    const auto worker = this->worker([&](const JobContext&) {
      if (++calls == 1) {
        begun.notify();
        Wakeup unused;
        wait_fd(go_on.fd(), POLLIN, Deadline::after(30s), {}, unused);
      }
      return work::Outcome::done();
    });
    const auto id = client_->enqueue({.queue = "q", .unique_key = "u"});
    Wakeup unused;
    ASSERT_EQ(wait_fd(begun.fd(), POLLIN, Deadline::after(20s), {}, unused), WaitEnd::ready);
    const auto next = client_->enqueue({.queue = "q", .delay = 1h, .unique_key = "u", .if_exists = choice});
    const bool ignored = choice == IfExists::ignore;
    EXPECT_EQ(next == id, ignored);
    EXPECT_EQ(count("weir.job_later"), ignored ? "0" : "1") << "the one that runs is left alone";
    go_on.notify();
    test::wait_until([&] { return count("weir.job_claim") == "0"; }, "its end");
    // Whose key it is now keeps it.
    EXPECT_EQ(count("weir.job_unique"), ignored ? "0" : "1");
    worker->stop();
    EXPECT_EQ(calls, 1);
    session().execute("DELETE FROM weir.job_later");
    session().execute("DELETE FROM weir.job_unique");
  }
}

TEST_F(ClientTest, AUniqueKeyOfAJobThatEndedIsFree) {
  for (const JobFunction& end : {JobFunction(done), JobFunction(dies)}) {
    for (const IfExists choice : {IfExists::ignore, IfExists::replace, IfExists::reschedule}) {
      const auto id = client_->enqueue({.queue = "q", .unique_key = "u"});
      work_off(end);
      const auto next = client_->enqueue({.queue = "q", .unique_key = "u", .if_exists = choice});
      EXPECT_NE(next, id);
      EXPECT_EQ(count("weir.job"), "1");
      work_off(done);
    }
  }
}

TEST_F(ClientTest, AWindowHoldsTheKeyWhateverBecomesOfTheJob) {
  for (const JobFunction& end : {JobFunction(done), JobFunction(dies)}) {
    const NewJob job{.queue = "q", .unique_key = "u", .unique_for = 1h};
    const auto id = client_->enqueue(job);
    work_off(end);
    EXPECT_EQ(client_->enqueue(job), id) << "it was in the window";
    EXPECT_EQ(count("weir.job"), "0");
    NewJob other = job;
    other.if_exists = IfExists::replace;
    const auto replaced = client_->enqueue(other);
    EXPECT_NE(replaced, id) << "nothing waits that could be replaced";
    work_off(done);
    session().execute("UPDATE weir.job_unique SET until = now() - interval '1 s'");
    EXPECT_NE(client_->enqueue(job), replaced);
    work_off(done);
    session().execute("DELETE FROM weir.job_unique");
  }
}

TEST_F(ClientTest, OfManyWithOneKeyTheFirstIsKept) {
  const std::vector<NewJob> jobs{{.queue = "q", .payload = "1", .unique_key = "u"},
                                 {.queue = "q", .payload = "2", .unique_key = "u"},
                                 {.queue = "q", .payload = "3"}};
  const auto ids = client_->enqueue_many(jobs);
  EXPECT_EQ(ids[0], ids[1]);
  EXPECT_EQ(text("SELECT string_agg(payload::text, ' ' ORDER BY seq) FROM weir.job"), "1 3");
}

}  // namespace
}  // namespace weir::queue
