// A consumer of a stream as a process of its own, for stream_chaos_test.cc: this program again, told what to
// do by its environment.

#include <gtest/gtest.h>

#include "base/stop_signals.h"
#include "chaos_process.h"
#include "pg/connector.h"
#include "stream/consumer.h"
#include "stream/handler_doer.h"
#include "stream/sql_doer.h"

namespace weir::stream {
namespace {

using namespace std::chrono_literals;

/// Writes what it was given to public.effect: in its transaction, or else by a session of its own, before it
/// says that it is done. Now and then an event fails at first.
class Applier final : public work::Handler {
 public:
  Applier(std::shared_ptr<const pg::Connector> connector, std::string group)
      : connector_(std::move(connector)), group_(std::move(group)) {}

  void run(work::Batch& batch) override {
    std::optional<pg::Session> own;
    if (batch.session() == nullptr) own.emplace(connector_->connect(pg::Role::api, "effect"));
    pg::Session& session = own ? *own : *batch.session();
    std::vector<std::int64_t> ids;
    for (std::size_t i = 0; i < batch.items().size(); ++i) {
      const work::Item& item = batch.items()[i];
      if (item.id % 997 == 0 && item.attempt == 1) {
        batch.settle(i, work::Outcome::retry(1ms, "once more"));
      } else {
        ids.push_back(item.id);
      }
    }
    if (batch.stop().stop_requested()) return;
    session.execute("INSERT INTO public.effect (group_name, event) SELECT $1, e FROM unnest($2::bigint[]) e",
                    group_, ids);
    batch.settle_rest(work::Outcome::done());
  }

 private:
  std::shared_ptr<const pg::Connector> connector_;
  std::string group_;
};

TEST(ChaosConsumer, DISABLED_Run) {
  const StopSignals signals;
  const std::string group = test::environment("WEIR_CHAOS_GROUP");
  const auto connector =
      std::make_shared<const pg::Connector>(pg::Conninfo::parse(test::environment("WEIR_CHAOS_URL")));
  const auto handler = [&] { return std::make_unique<Applier>(connector, group); };
  Consumer::Work work;
  if (group == "leased") {
    work.leased = handler;
  } else if (group == "sql") {
    work.transactional = [](const GroupSource& source) {
      return std::make_unique<SqlDoer>(
          source.sql(),
          SqlDoer::Options{
              .sql = "INSERT INTO public.effect (group_name, event) SELECT 'sql', event_id FROM weir_chunk",
              .search_path = {}});
    };
  } else {
    work.transactional = [&](const GroupSource& source) {
      return std::make_unique<HandlerDoer>(source.stream(), source.sql(), source.group(), handler());
    };
  }
  Consumer consumer(connector, work, {.stream = "events", .group = group, .workers = 2, .lease = 1s});
  test::serve(consumer, signals.token());
}

}  // namespace
}  // namespace weir::stream
