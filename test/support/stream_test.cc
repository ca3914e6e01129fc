#include "support/stream_test.h"

#include "schema/queries/streams.h"
#include "stream/cut.h"
#include "stream/handler_doer.h"
#include "stream/sql_doer.h"

namespace weir::test {
namespace {

class FunctionHandler final : public work::Handler {
 public:
  explicit FunctionHandler(std::function<work::Outcome(const work::Item&)> function)
      : function_(std::move(function)) {}
  void run(work::Batch& batch) override {
    for (std::size_t i = 0; i < batch.items().size(); ++i) batch.settle(i, function_(batch.items()[i]));
  }

 private:
  std::function<work::Outcome(const work::Item&)> function_;
};

}  // namespace

void StreamTest::SetUp() {
  SchemaTest::SetUp();
  one_.emplace(session());
}

void StreamTest::TearDown() {
  one_.reset();
  SchemaTest::TearDown();
}

void StreamTest::insert(int events, const std::string& at) {
  one_->execute("INSERT INTO events (at, key, payload) SELECT " + at +
                    ", 'k' || n % 7, jsonb_build_object('n', n) FROM generate_series(1, $1::int4) n",
                events);
}

std::int64_t StreamTest::number(const std::string& sql) {
  return one_->execute("SELECT (" + sql + ")::int8")[0].get<std::int64_t>(0);
}

void StreamTest::cut_all(const std::string& name) {
  const auto stream = stream::find_stream(*one_, name);
  const stream::StreamSql sql(stream);
  while (stream::cut(*one_, stream, sql).more) {
  }
}

std::int32_t StreamTest::group(const std::string& name, std::optional<WallTime> from) {
  const auto made = one_->run<sql::MakeStreamGroup>(stream::find_stream(*one_, "events").id, name, from);
  return made.one().id;
}

std::unique_ptr<stream::Consumer> StreamTest::by_sql(stream::ConsumerOptions options,
                                                     const std::string& sql) {
  options.stream = "events";
  stream::Consumer::Work work;
  work.transactional = [sql](const stream::GroupSource& source) {
    return std::make_unique<stream::SqlDoer>(source.sql(),
                                             stream::SqlDoer::Options{.sql = sql, .search_path = "public"});
  };
  return std::make_unique<stream::Consumer>(shared_connector(), work, options);
}

std::unique_ptr<stream::Consumer> StreamTest::leased(stream::ConsumerOptions options, Function function) {
  options.stream = "events";
  stream::Consumer::Work work;
  work.leased = [function = std::move(function)] { return std::make_unique<FunctionHandler>(function); };
  return std::make_unique<stream::Consumer>(shared_connector(), work, options);
}

std::unique_ptr<stream::Consumer> StreamTest::transactional(stream::ConsumerOptions options,
                                                            Function function) {
  options.stream = "events";
  stream::Consumer::Work work;
  work.transactional = [function = std::move(function)](const stream::GroupSource& source) {
    return std::make_unique<stream::HandlerDoer>(source.stream(), source.sql(), source.group(),
                                                 std::make_unique<FunctionHandler>(function));
  };
  return std::make_unique<stream::Consumer>(shared_connector(), work, options);
}

void StreamTest::work_off(stream::Consumer& consumer) {
  consumer.start();
  EXPECT_TRUE(consumer.wait_until_finished({}, Deadline::after(std::chrono::seconds(60))));
  consumer.stop();
}

}  // namespace weir::test
