// The public header for groups, as a program uses it.

#include <atomic>
#include <future>

#include <gtest/gtest.h>

#include <weir/groups.h>

#include "pg/transaction.h"
#include "support/database.h"
#include "support/errors.h"

namespace weir {
namespace {

using test::error_of;
using test::has;

class FunctionSink final : public GroupSink {
 public:
  using Function = std::function<Outcome(GroupBatch&)>;
  FunctionSink(Place place, Function apply, std::function<bool(GroupBatch&)> has)
      : place_(place), apply_(std::move(apply)), has_(std::move(has)) {}

  [[nodiscard]] Place place() const noexcept override { return place_; }
  bool has(GroupBatch& batch) override { return has_ && has_(batch); }
  Outcome apply(GroupBatch& batch) override { return apply_(batch); }

 private:
  Place place_;
  Function apply_;
  std::function<bool(GroupBatch&)> has_;
};

class LibraryGroupsTest : public test::SchemaTest {
 protected:
  using Place = GroupSink::Place;

  void SetUp() override {
    SchemaTest::SetUp();
    one_.emplace(session());
    one_->execute("UPDATE weir.feed SET backoff_ms = 0");
    one_->execute("CREATE TABLE effect (id text, tenant text, n int CHECK (n <> 13), attempt int)");
    client_.emplace(url());
    add_sink(*client_, {.name = "s"});
  }
  void TearDown() override {
    client_.reset();
    one_.reset();
    SchemaTest::TearDown();
  }
  std::string submit_one(int n, const std::string& run = "r") {
    return submit(*client_,
                  {.tenant = "t", .key = "k", .payload = "{\"n\": " + std::to_string(n) + "}", .run = run});
  }
  GroupConsumerCounts run(Place place, const FunctionSink::Function& apply,
                          const std::function<bool(GroupBatch&)>& has = {}) {
    GroupConsumer consumer(
        url(), {.sink = "s", .concurrency = 2, .poll = std::chrono::milliseconds(20), .once = true},
        [=] { return std::make_unique<FunctionSink>(place, apply, has); });
    consumer.run();
    return consumer.counts();
  }
  static Outcome insert(GroupBatch& batch) {
    batch.transaction().execute(
        "INSERT INTO effect (id, tenant, n, attempt) VALUES ($1, $2, ($3::jsonb->>'n')::int, $4)", batch.id(),
        batch.tenant(), batch.payload(), batch.attempt());
    return Outcome::done();
  }
  std::int64_t number(const std::string& sql) { return one_->execute(sql)[0].get<std::int64_t>(0); }
  std::string text(const std::string& sql) { return one_->execute(sql)[0].get<std::string>(0); }

  std::optional<pg::Session> one_;
  std::optional<Client> client_;
};

TEST_F(LibraryGroupsTest, WhatASinkInsideWritesCommitsWithTheEndOfItsBatch) {
  for (int n = 0; n < 5; ++n) submit_one(n);
  const GroupConsumerCounts counts = run(Place::inside, insert);
  EXPECT_EQ(counts.succeeded, 5);
  EXPECT_EQ(counts.failed + counts.retried + counts.lost, 0);
  EXPECT_EQ(text("SELECT string_agg(n::text, ' ' ORDER BY id) FROM effect WHERE tenant = 't'"), "0 1 2 3 4");
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch_attempt WHERE outcome = 'succeeded'"), 5);
}

TEST_F(LibraryGroupsTest, ASubmitIsPartOfItsTransactionAndIsMadeOnce) {
  {
    Transaction undone = client_->begin();
    submit(undone, {.tenant = "t", .key = "k"});
  }
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch"), 0);
  const NewBatch batch{.tenant = "t", .key = "k", .run = "r", .index = 0};
  EXPECT_EQ(submit(*client_, batch), submit(*client_, batch));
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch"), 1);

  Transaction kept = client_->begin();
  EXPECT_EQ(error_of([&] { submit(kept, {.tenant = "t", .key = "k", .payload = "{no"}); }).failure(),
            Failure::usage);
  submit(kept, {.tenant = "t", .key = "k", .payload = R"({"n": 7})"});  // it goes on
  kept.commit();
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch"), 2);
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch WHERE final"), 1) << "a batch without a run is one";
}

TEST_F(LibraryGroupsTest, ASinkThatGoesOnAfterAFailedStatementHasFailed) {
  submit_one(13);
  std::atomic<int> calls{0};
  const GroupConsumerCounts counts = run(Place::inside, [&](GroupBatch& batch) {
    ++calls;
    try {
      return insert(batch);
    } catch (const Error&) {
      return Outcome::done();
    }
  });
  EXPECT_EQ(calls, 3) << "as many as its feed says";
  EXPECT_EQ(counts.succeeded, 0);
  EXPECT_EQ(counts.failed, 1);
  EXPECT_EQ(number("SELECT count(*) FROM effect"), 0);
  EXPECT_TRUE(has(text("SELECT max(error) FROM weir.batch_attempt"), "effect_n_check"));
}

TEST_F(LibraryGroupsTest, WhateverASinkThrowsCanBeStored) {
  submit_one(1);
  submit_one(2, "other");
  std::atomic<int> calls{0};
  const GroupConsumerCounts counts = run(Place::outside, [&](GroupBatch& batch) -> Outcome {
    if (++calls == 1) throw std::runtime_error("not UTF-8: \xff");
    if (calls == 2) throw 7;
    if (calls == 3) return {};
    EXPECT_EQ(batch.run(), "other") << "three attempts are all that there are, and the group goes on";
    return Outcome::done();
  });
  EXPECT_EQ(counts.failed, 1);
  EXPECT_EQ(counts.succeeded, 1);
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch_attempt WHERE error LIKE 'not UTF-8: ?'"), 1);
}

TEST_F(LibraryGroupsTest, ASinkOutsideHasNoTransactionAndCanVerify) {
  submit_one(1);
  std::atomic<bool> refused{false};
  const GroupConsumerCounts counts = run(Place::outside, [&](GroupBatch& batch) {
    refused = error_of([&] { static_cast<void>(batch.transaction()); }).failure() == Failure::usage;
    batch.verify();
    return Outcome::done();
  });
  EXPECT_TRUE(refused);
  EXPECT_EQ(counts.succeeded, 1);
}

TEST_F(LibraryGroupsTest, VerifyThrowsWhenTheGroupWentToSomebodyElse) {
  submit_one(1);
  std::atomic<int> calls{0};
  std::atomic<bool> passed{false};
  const GroupConsumerCounts counts = run(Place::outside, [&](GroupBatch& batch) {
    if (++calls == 1) {
      Transaction thief = client_->begin();
      thief.execute("DELETE FROM weir.group_hold");
      thief.execute("UPDATE weir.batch_step SET state = 'pending', attempt = 0");
      thief.commit();
      batch.verify();
      passed = true;
    }
    return Outcome::done();
  });
  EXPECT_FALSE(passed);
  EXPECT_EQ(calls, 2) << "by whoever had the group then";
  EXPECT_EQ(counts.lost, 1);
  EXPECT_EQ(counts.succeeded, 1);
}

TEST_F(LibraryGroupsTest, WhatASinkHasIsNotAppliedAgain) {
  submit_one(1);
  submit_one(2);
  std::atomic<int> applied{0};
  const GroupConsumerCounts counts = run(
      Place::outside,
      [&](GroupBatch&) {
        ++applied;
        return Outcome::done();
      },
      [](GroupBatch& batch) { return batch.index() == 0; });
  EXPECT_EQ(counts.succeeded, 2);
  EXPECT_EQ(applied, 1);
}

TEST_F(LibraryGroupsTest, ASinkIsAddedOnceAndBehindAnother) {
  EXPECT_FALSE(add_sink(*client_, {.name = "s"}));
  EXPECT_TRUE(add_sink(*client_, {.name = "second", .after = "s"}));
  EXPECT_EQ(number("SELECT count(*) FROM weir.feed_sink k JOIN weir.feed_sink a ON a.id = k.after_id WHERE "
                   "k.name = 'second' AND a.name = 's'"),
            1);
  EXPECT_TRUE(has(error_of([&] { add_sink(*client_, {.name = "x", .after = "nobody"}); }).what(), "nobody"));
  EXPECT_TRUE(has(error_of([&] { add_sink(*client_, {.name = "x", .feed = "fed"}); }).what(), "fed"));
}

// Found in an audit: the program tries for a minute, the library gave up at once.
TEST_F(LibraryGroupsTest, ASinkIsAddedWhenThoseWhoSubmitHaveDoneSo) {
  pg::Session producer = session();
  pg::Transaction transaction(producer);
  producer.execute("SELECT weir.submit_batch('t', 'k', '{}')");
  auto added = std::async(std::launch::async, [&] { return add_sink(*client_, {.name = "late"}); });
  EXPECT_EQ(added.wait_for(std::chrono::seconds(1)), std::future_status::timeout) << "it waits";
  transaction.commit();
  EXPECT_TRUE(added.get());
}

TEST_F(LibraryGroupsTest, WhatCannotBeIsRefusedAtOnce) {
  const auto make = [&](const GroupConsumerOptions& options, GroupConsumer::MakeSink sinks) {
    return error_of([&] { GroupConsumer(url(), options, std::move(sinks)).start(); });
  };
  const auto some = [] {
    return std::make_unique<FunctionSink>(Place::inside, insert, std::function<bool(GroupBatch&)>());
  };
  EXPECT_EQ(make({}, some).failure(), Failure::usage);
  EXPECT_EQ(make({.sink = "s", .concurrency = 0}, some).failure(), Failure::usage);
  EXPECT_EQ(make({.sink = "s"}, {}).failure(), Failure::usage);
  EXPECT_TRUE(has(make({.sink = "z"}, some).what(), "z"));
}

}  // namespace
}  // namespace weir
