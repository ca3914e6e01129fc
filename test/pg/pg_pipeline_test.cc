#include <array>
#include <thread>

#include <gtest/gtest.h>

#include "pg/pipeline.h"
#include "support/database.h"
#include "support/waiting.h"

namespace weir::pg {
namespace {

using test::PgTest;

constexpr std::array<Oid, 1> kInt8{oid::kInt8};
constexpr Query kInsert{"pipeline_test_insert", "INSERT INTO event VALUES ($1)", kInt8, {}};

class PipelineTest : public PgTest {
 protected:
  void SetUp() override {
    PgTest::SetUp();
    session().execute("CREATE TABLE event (id int8 PRIMARY KEY)");
  }
  std::int64_t events() { return session().execute("SELECT count(*) FROM event")[0].get<std::int64_t>(0); }

  static void insert(Pipeline& pipeline, std::int64_t id) {
    Params params = Params::of(id);
    pipeline.run(kInsert, params);
  }
};

TEST_F(PipelineTest, RunsManyStatementsAndLeavesAnOrdinarySession) {
  Session session = this->session();
  Pipeline pipeline(session, {&kInsert});
  for (std::int64_t id = 0; id < 20000; ++id) {
    insert(pipeline, id);
    if (id % 1000 == 999) pipeline.end_group();
  }
  pipeline.finish();
  EXPECT_EQ(events(), 20000);
  EXPECT_EQ(session.execute("SELECT 1").rows(), 1);
}

TEST_F(PipelineTest, AGroupOfMoreThanTheWindowIsOneTransaction) {
  Session session = this->session();
  Pipeline pipeline(session, {&kInsert});
  for (std::int64_t id = 0; id < 10000; ++id) insert(pipeline, id);
  insert(pipeline, 0);
  try {
    pipeline.finish();
    FAIL() << "the duplicate was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.sqlstate(), "23505");
  }
  EXPECT_EQ(events(), 0);
  EXPECT_TRUE(session.is_open());
}

TEST_F(PipelineTest, AFailedGroupIsUndoneAndTheOthersAreKept) {
  Session session = this->session();
  std::vector<std::string> outcomes;
  Pipeline pipeline(session, {&kInsert}, [&](std::size_t number, Pipeline::Outcome outcome) {
    EXPECT_EQ(number, outcomes.size());
    outcomes.push_back(outcome ? "done" : outcome.error().sqlstate);
  });
  for (const std::int64_t id : {1, 2}) insert(pipeline, id);
  pipeline.end_group();
  for (const std::int64_t id : {3, 1, 4}) insert(pipeline, id);
  pipeline.end_group();
  insert(pipeline, 5);
  pipeline.finish();
  EXPECT_EQ(outcomes, (std::vector<std::string>{"done", "done", "done", "23505", "25P02", "done"}));
  EXPECT_EQ(events(), 3);
}

TEST_F(PipelineTest, AnswersThatFillTheSocketBothWaysDoNotBlockIt) {
  Session session = this->session();
  std::size_t bytes = 0;
  Pipeline pipeline(session, {}, [&](std::size_t, Pipeline::Outcome outcome) {
    ASSERT_TRUE(outcome);
    bytes += outcome->bytes(0, 0).size();
  });
  const std::string large(100000, 'x');
  for (int i = 0; i < 300; ++i) {
    Params params = Params::of(large);
    pipeline.execute("SELECT $1::text", params);
    pipeline.end_group();
  }
  pipeline.finish();
  EXPECT_EQ(bytes, 300U * large.size());
}

TEST_F(PipelineTest, CopyInsideItIsRefusedWithoutAHang) {
  for (const char* sql : {"COPY event TO STDOUT", "COPY event FROM STDIN"}) {
    Session session = this->session();
    Pipeline pipeline(session, {});
    Params none;
    pipeline.execute(sql, none);
    try {
      pipeline.finish();
      FAIL() << sql;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::misuse) << error.what();
    }
    EXPECT_FALSE(session.is_open());
  }
}

TEST_F(PipelineTest, AServerProcessThatDiesInTheMiddleIsALossWithoutAHang) {
  Session gate = session();
  gate.execute("SELECT pg_advisory_lock(1)");
  Session session = this->session();
  const int pid = session.backend_pid();
  Pipeline pipeline(session, {&kInsert});
  insert(pipeline, 1);
  Params none;
  pipeline.execute("SELECT pg_advisory_xact_lock(1)", none);
  insert(pipeline, 2);
  pipeline.end_group();
  insert(pipeline, 3);
  std::jthread killer([&] {
    test::wait_until_blocked(connector(), pid);
    test::terminate_backend(connector(), pid);
  });
  EXPECT_THROW(pipeline.finish(), ConnectionLost);
  EXPECT_FALSE(session.is_open());
  EXPECT_EQ(events(), 0);
}

TEST_F(PipelineTest, OnlyQueriesItWasToldOfAndNothingBesideIt) {
  Session session = this->session();
  {
    Pipeline pipeline(session, {});
    Params params = Params::of(std::int64_t{1});
    EXPECT_THROW(pipeline.run(kInsert, params), Error);
    EXPECT_THROW(session.execute("SELECT 1"), Error);
    pipeline.finish();
    EXPECT_THROW(pipeline.finish(), Error);
  }
  EXPECT_EQ(session.execute("SELECT 1").rows(), 1);
}

TEST_F(PipelineTest, AnUnfinishedOneClosesTheSession) {
  Session session = this->session();
  {
    Pipeline pipeline(session, {&kInsert});
    insert(pipeline, 1);
  }
  EXPECT_FALSE(session.is_open());
}

TEST_F(PipelineTest, WorksWithoutPreparedStatements) {
  Connector::Options options;
  options.session.prepare = false;
  options.users_search_path = true;
  Session session = Connector(connector().conninfo(), options).connect(Role::api, "test");
  Pipeline pipeline(session, {&kInsert});
  for (std::int64_t id = 0; id < 10; ++id) insert(pipeline, id);
  pipeline.finish();
  EXPECT_EQ(events(), 10);
}

}  // namespace
}  // namespace weir::pg
