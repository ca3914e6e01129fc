#include "queue/client.h"

#include <weir/client.h>

#include "base/error.h"
#include "library/sql_state.h"
#include "pg/pooler.h"

namespace weir {
namespace {

std::shared_ptr<const pg::Connector> client_connector(std::string_view url) {
  // The caller's statements run on the same sessions: his names are found as he is used to.
  pg::Connector::Options options{.users_search_path = true};
  auto connector = std::make_shared<const pg::Connector>(pg::Conninfo::parse(url), options);
  if (pg::detect_pooling(*connector) == pg::Pooling::none) return connector;
  return std::make_shared<const pg::Connector>(connector->unprepared());
}

/// What the server says of a database that was never migrated, with what to do about it.
template <class Work>
auto with_remedy(Work work) {
  try {
    return work();
  } catch (const pg::Error& error) {
    const bool missing = error.sqlstate() == "3F000" || error.sqlstate() == "42883";
    if (!missing) throw;
    pg::ErrorInfo info = error.info();
    info.hint = "Bring the database's schema up to this version: weir db migrate.";
    pg::raise(std::move(info));
  }
}

/// Work on the session of somebody's transaction, which a failed statement ends.
template <class Work>
auto inside(Sql& transaction, Work work) {
  Sql::State& state = transaction.state();
  return with_remedy([&] {
    try {
      return work(*state.session);
    } catch (const pg::Error& error) {
      if (state.failure.empty()) state.failure = error.what();
      throw;
    }
  });
}

}  // namespace

struct Client::State {
  State(std::string_view url, ClientOptions options)
      : pool(client_connector(url), {.name = std::move(options.name), .size = options.sessions}),
        queue(pool) {}

  pg::Pool pool;
  queue::Client queue;
};

Client::Client(std::string_view url, ClientOptions options)
    : state_(std::make_unique<State>(url, std::move(options))) {}
Client::Client(Client&& other) noexcept = default;
Client& Client::operator=(Client&& other) noexcept = default;
Client::~Client() = default;

Transaction Client::begin() { return Transaction(std::make_unique<Sql::State>(state_->pool.lease())); }

std::int64_t Client::enqueue(Sql& transaction, const NewJob& job) {
  return inside(transaction, [&](pg::Session& session) { return queue::enqueue(session, job); });
}

std::vector<std::int64_t> Client::enqueue_many(Sql& transaction, std::span<const NewJob> jobs) {
  return inside(transaction, [&](pg::Session& session) { return queue::enqueue_many(session, jobs); });
}

std::int64_t Client::enqueue_bulk(Sql& transaction, const NextJob& next) {
  return inside(transaction, [&](pg::Session& session) { return queue::enqueue_bulk(session, next); });
}

std::int64_t Client::enqueue(const NewJob& job) {
  return with_remedy([&] { return state_->queue.enqueue(job); });
}

std::vector<std::int64_t> Client::enqueue_many(std::span<const NewJob> jobs) {
  return with_remedy([&] { return state_->queue.enqueue_many(jobs); });
}

std::int64_t Client::enqueue_bulk(const NextJob& next) {
  return with_remedy([&] { return state_->queue.enqueue_bulk(next); });
}

}  // namespace weir
