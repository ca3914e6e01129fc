#include "support/adopt.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "queue/adopt_catalog.h"

namespace weir::test {

std::int64_t id_of(const work::Item& item) {
  return nlohmann::json::parse(item.payload).at("id").get<std::int64_t>();
}

void AdoptTest::make_events(Shape shape, int rows) {
  pg::Session session = this->session();
  const std::string columns =
      "id bigint GENERATED ALWAYS AS IDENTITY, event_timestamp timestamptz NOT NULL,"
      "processed boolean NOT NULL DEFAULT false, processed_at timestamptz, error text, payload text";
  switch (shape) {
    case Shape::plain: session.execute("CREATE TABLE events (" + columns + ", PRIMARY KEY (id))"); break;
    case Shape::no_key: session.execute("CREATE TABLE events (" + columns + ")"); break;
    case Shape::partitioned:
      session.execute_script(
          "CREATE TABLE events (" + columns +
          ", PRIMARY KEY (id, event_timestamp)) PARTITION BY RANGE (event_timestamp);"
          "CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (MINVALUE) TO ('2026-01-11Z');"
          "CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-01-11Z') TO ('2026-01-21Z');"
          "CREATE TABLE events_3 PARTITION OF events DEFAULT;");
  }
  session.execute_script(
      "CREATE INDEX ON events (event_timestamp) WHERE NOT processed; CREATE TABLE effect (event bigint NOT "
      "NULL)");
  session.execute(
      "INSERT INTO events (event_timestamp, payload) SELECT '2026-01-01Z'::timestamptz + n % 30 * interval "
      "'1 day' + n * interval '1 second', 'e' || n FROM generate_series(1, $1) n",
      rows);
}

queue::AdoptRequest AdoptTest::request() const {
  return {.table = "events", .order_by = {"event_timestamp"}, .done = "processed"};
}

queue::Adopted AdoptTest::adopted(const queue::AdoptRequest& request) const {
  pg::Session session = this->session();
  queue::Adopted made = queue::adopt(request, queue::read_adopt_facts(session, request.table));
  queue::check_adopted_sql(session, made);
  return made;
}

void AdoptTest::insert_effects(work::Batch& batch) {
  std::vector<std::int64_t> ids;
  for (const work::Item& item : batch.items()) ids.push_back(id_of(item));
  batch.session()->execute("INSERT INTO effect SELECT unnest($1::bigint[])", ids);
  batch.settle_rest(work::Outcome::done());
}

work::HandlerFactory AdoptTest::handlers(FunctionHandler::Function function) {
  return [function] { return std::make_unique<FunctionHandler>(function); };
}

queue::AdoptConsumer AdoptTest::consumer(queue::AdoptConsumerOptions options,
                                         FunctionHandler::Function function) const {
  return {consumers_connector(), adopted(), handlers(std::move(function)), std::move(options)};
}

std::int64_t AdoptTest::number(const std::string& sql) const {
  pg::Session session = this->session();
  return session.execute(sql)[0].get<std::int64_t>(0);
}

std::string AdoptTest::tally() const {
  return fmt::format("{}/{} {}/{}", number("SELECT count(*) FROM events WHERE processed"),
                     number("SELECT count(*) FROM events"), number("SELECT count(*) FROM effect"),
                     number("SELECT count(DISTINCT event) FROM effect"));
}

}  // namespace weir::test
