#include "stream_scene.h"

#include <fmt/format.h>

#include "schema/migrator.h"
#include "schema/queries/streams.h"
#include "stream/cut.h"
#include "stream/handler_doer.h"
#include "stream/sql_doer.h"
#include "stream/stream.h"

namespace weir::bench {
namespace {

class Trivial final : public work::Handler {
 public:
  void run(work::Batch& batch) override {
    for (const work::Item& item : batch.items()) bytes_ += item.payload.size();
    batch.settle_rest(work::Outcome::done());
  }

 private:
  std::size_t bytes_ = 0;
};

}  // namespace

StreamScene::StreamScene(Scene& plain) : plain_(plain), session_(plain.session()) {
  schema::migrate(session_);
}

void StreamScene::make(const std::string& name) {
  session_.execute("DELETE FROM weir.stream WHERE name = $1", name);
  session_.execute(fmt::format("DROP TABLE IF EXISTS {}", name));
  stream::create_stream(session_, {.name = name});
  session_.execute("CHECKPOINT");
}

void StreamScene::add(const std::string& name, std::int64_t events, int text) {
  constexpr std::int64_t kTransaction = 100'000;
  for (std::int64_t done = 0; done < events; done += kTransaction) {
    session_.execute(
        fmt::format("INSERT INTO {} (key, payload) SELECT 'k' || n % 1000, jsonb_build_object('n', n, "
                    "'text', repeat('x', {})) FROM generate_series(1, {}) n",
                    name, text, std::min(kTransaction, events - done)));
  }
}

void StreamScene::cut(const std::string& name) {
  const auto stream = stream::find_stream(session_, name);
  const stream::StreamSql sql(stream);
  while (stream::cut(session_, stream, sql).more) {
  }
}

void StreamScene::add_group(const std::string& name, const std::string& group) {
  session_.run<sql::MakeStreamGroup>(stream::find_stream(session_, name).id, group, WallTime{});
}

double StreamScene::consume(const std::string& name, const std::string& group, By by, std::size_t workers) {
  stream::Consumer::Work work;
  if (by == By::leased) {
    work.leased = [] { return std::make_unique<Trivial>(); };
  } else {
    work.transactional = [by](const stream::GroupSource& source) -> std::unique_ptr<stream::WorkDoer> {
      if (by == By::sql) {
        return std::make_unique<stream::SqlDoer>(
            source.sql(),
            stream::SqlDoer::Options{
                .sql = "INSERT INTO bench_sums SELECT count(*), sum(length(key)) FROM weir_chunk",
                .search_path = "public"});
      }
      return std::make_unique<stream::HandlerDoer>(source.stream(), source.sql(), source.group(),
                                                   std::make_unique<Trivial>());
    };
  }
  stream::Consumer consumer(std::make_shared<pg::Connector>(plain_.connector()), work,
                            {.stream = name, .group = group, .workers = workers, .once = true});
  const double seconds = seconds_of([&] {
    consumer.start();
    consumer.wait_until_finished({});
    consumer.stop();
  });
  return static_cast<double>(consumer.counts().done) / seconds;
}

}  // namespace weir::bench
