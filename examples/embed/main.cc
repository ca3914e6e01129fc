// A shop inside of your own program: orders and their e-mails. Usage: embed [URL], or DATABASE_URL.

#include <array>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <weir/client.h>
#include <weir/groups.h>
#include <weir/version.h>
#include <weir/worker.h>

namespace {

// [transaction] An order and the job that follows from it: both, or neither.
void place_order(weir::Client& client, const std::string& customer, int amount, bool paid) {
  weir::Transaction tx = client.begin();
  const weir::Rows order =
      tx.execute("INSERT INTO shop_order (customer, amount) VALUES ($1, $2) RETURNING id", customer, amount);
  client.enqueue(tx, {.queue = "mail",
                      .kind = "welcome",
                      .payload = R"({"order": )" + std::to_string(order.integer(0, 0)) + "}"});
  if (paid) tx.commit();  // else both are undone at the end of the scope
}
// [end]

// [enqueue] Each in a transaction of its own.
void enqueue_more(weir::Client& client) {
  // Twice the same key: one job.
  client.enqueue({.queue = "mail", .kind = "digest", .unique_key = "digest-of-today"});
  client.enqueue({.queue = "mail", .kind = "digest", .unique_key = "digest-of-today"});

  const std::vector<weir::NewJob> jobs{{.queue = "mail", .kind = "note", .payload = R"({"to": "ann"})"},
                                       {.queue = "mail", .kind = "note", .payload = R"({"to": "bob"})"}};
  client.enqueue_many(jobs);

  // Any number, in bounded memory.
  int left = 1000;
  client.enqueue_bulk([&left](weir::NewJob& job) {
    job = {.queue = "mail", .kind = "note", .payload = R"({"to": "everybody"})", .priority = 10};
    return left-- > 0;
  });
}
// [end]

// [transactional] What a handler writes commits together with the end of its job: exactly once.
void send_mails(const std::string& url) {
  weir::Worker worker(
      url, {.queues = {"mail"}, .slots = 2, .delivery = weir::Delivery::transactional, .once = true});
  worker.on("welcome", [](weir::Job& job) {
    job.transaction().execute(
        "INSERT INTO shop_mail (text) SELECT 'welcome, ' || o.customer FROM shop_order o "
        "WHERE o.id = ($1::jsonb->>'order')::int",
        job.payload());
    // A job that follows from this one, in the same transaction.
    weir::Client::enqueue(job.transaction(), {.queue = "stock", .kind = "count"});
  });
  worker.on("digest", [](weir::Job& job) {
    job.transaction().execute("INSERT INTO shop_mail (text) VALUES ('digest')");
  });
  worker.on("note", [](weir::Job& job) {
    job.transaction().execute("INSERT INTO shop_mail (text) VALUES ('note to ' || ($1::jsonb->>'to'))",
                              job.payload());
  });
  worker.run();  // a program that stays leaves out `once`, and hands over a stop token
}
// [end]

// [leased] Effects outside of the database: at least once.
int count_stock(const std::string& url) {
  std::array<int, 3> attempts{};
  weir::Worker worker(url, {.queues = {"stock"}, .slots = 1, .once = true});
  worker.on("count", [&attempts](weir::Job& job) -> weir::Outcome {
    if (job.attempt() <= 3) ++attempts.at(static_cast<std::size_t>(job.attempt()) - 1);
    if (job.attempt() == 1) return weir::Outcome::retry(std::chrono::milliseconds(1), "the scales are busy");
    for (int shelf = 1; shelf <= 3 && !job.stop().stop_requested(); ++shelf)
      job.progress(shelf / 3.0, "shelf " + std::to_string(shelf));
    return weir::Outcome::done(R"({"counted": 3})");
  });
  worker.run();
  return attempts[1];
}
// [end]

// [groups] Batches that are applied in order: what each table of a shop sends comes one after the other.
class Ledger final : public weir::GroupSink {
 public:
  [[nodiscard]] Place place() const noexcept override { return Place::inside; }
  weir::Outcome apply(weir::GroupBatch& batch) override {
    batch.transaction().execute(
        "INSERT INTO shop_ledger (shop, line) SELECT $1, coalesce(max(line), 0) + ($2::jsonb->>'lines')::int "
        "FROM shop_ledger WHERE shop = $1",
        batch.tenant(), batch.payload());
    return weir::Outcome::done();
  }
};

std::int64_t keep_ledger(weir::Client& client, const std::string& url) {
  weir::add_sink(client, {.name = "ledger"});
  for (const char* lines : {R"({"lines": 3})", R"({"lines": 4})"})
    weir::submit(client, {.tenant = "ann's", .key = "sales", .payload = lines, .run = "today"});
  weir::GroupConsumer consumer(url, {.sink = "ledger", .concurrency = 2, .once = true},
                               [] { return std::make_unique<Ledger>(); });
  consumer.run();
  return consumer.counts().succeeded;
}
// [end]

int run(const std::string& url) {
  weir::Client client(url);
  {
    weir::Transaction tx = client.begin();
    tx.execute("CREATE TABLE shop_order (id int GENERATED ALWAYS AS IDENTITY, customer text, amount int)");
    tx.execute("CREATE TABLE shop_mail (text text)");
    tx.execute("CREATE TABLE shop_ledger (shop text, line int)");
    tx.commit();
  }
  place_order(client, "ann", 10, true);
  place_order(client, "bob", 20, false);
  enqueue_more(client);
  send_mails(url);
  const int counted = count_stock(url);
  const std::int64_t booked = keep_ledger(client, url);

  weir::Transaction tx = client.begin();
  const weir::Rows mails = tx.execute("SELECT text, count(*) FROM shop_mail GROUP BY text ORDER BY text");
  std::cout << "libweir " << weir::version() << '\n';
  for (std::size_t row = 0; row < mails.size(); ++row)
    std::cout << mails.text(row, 0) << ": " << mails.integer(row, 1) << '\n';
  std::cout << "stock counted: " << counted << '\n';
  std::cout << "batches booked: " << booked
            << ", lines: " << tx.execute("SELECT max(line) FROM shop_ledger").integer(0, 0) << '\n';
  tx.execute("DROP TABLE shop_order, shop_mail, shop_ledger");
  tx.commit();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const char* url = argc > 1 ? argv[1] : std::getenv("DATABASE_URL");
  if (url == nullptr) {
    std::cerr << "usage: embed URL\n";
    return 2;
  }
  // [errors] One type for all failures: what happened, what to do, and what a program can do about it.
  try {
    return run(url);
  } catch (const weir::Error& error) {
    std::cerr << "embed: " << error.what() << '\n';
    if (!error.remedy().empty()) std::cerr << error.remedy() << '\n';
    return error.failure() == weir::Failure::connection ? 4 : 1;
  }
  // [end]
}
