#include "stream_producer.h"

#include <atomic>
#include <thread>

#include <fmt/format.h>

#include "base/wait.h"
#include "pg/copy.h"
#include "pg/error.h"

namespace weir::stream {
namespace {

using namespace std::chrono_literals;

std::atomic<int> open_for_long{0};

class OpenForLong {
 public:
  OpenForLong() { ++open_for_long; }
  ~OpenForLong() { --open_for_long; }
  OpenForLong(const OpenForLong&) = delete;
  OpenForLong& operator=(const OpenForLong&) = delete;
};

void wait(const std::stop_token& stop, Duration span) {
  Wakeup unused;
  wait_fd(-1, 0, Deadline::after(span), stop, unused);
}

}  // namespace

std::vector<Numbers> Ledger::committed() const {
  const MutexLock lock(mutex_);
  return committed_;
}

std::vector<Numbers> Ledger::doubted() const {
  const MutexLock lock(mutex_);
  return doubted_;
}

void Ledger::add(std::vector<Numbers>& to, const std::vector<Numbers>& numbers) {
  const MutexLock lock(mutex_);
  to.insert(to.end(), numbers.begin(), numbers.end());
}

bool Producer::is_open_for_long() noexcept { return open_for_long > 0; }

void Producer::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    try {
      pg::Session session = connector_.connect(pg::Role::api, "producer");
      while (!stop.stop_requested()) produce(session, stop);
    } catch (const pg::Error&) {
      std::this_thread::sleep_for(20ms);  // the server is away
    }
  }
}

void Producer::produce(pg::Session& session, const std::stop_token& stop) {
  switch (options_.kind) {
    case Kind::large:
      if (below(20) == 0) return produce_at_once(session, 20'000);
      [[fallthrough]];
    case Kind::small: return produce_small(session, stop);
    case Kind::copy: return copy(session, stop);
    case Kind::slow: return produce_slowly(session, stop);
  }
}

Numbers Producer::number(std::int64_t count) {
  const Numbers numbers{next_, count};
  next_ += count;
  return numbers;
}

Numbers Producer::insert(pg::Session& session, std::int64_t count) {
  const Numbers numbers = number(count);
  // The producer's clock steps back and forth.
  session.execute(
      "INSERT INTO events (at, key, payload) SELECT now() + ($1::int - 500) * interval '1 s', 'k' || n % 7, "
      "jsonb_build_object('n', n) FROM generate_series($2::bigint, $3::bigint) n",
      static_cast<std::int32_t>(below(1000)), numbers.first, numbers.first + numbers.count - 1);
  return numbers;
}

void Producer::pause(const std::stop_token& stop) {
  // Mostly a millisecond, now and then seconds.
  wait(stop, below(20) == 0 ? 100ms * below(30) : 1ms * below(20));
}

void Producer::produce_small(pg::Session& session, const std::stop_token& stop) {
  const std::size_t what = below(20);
  const auto some = [&] { return static_cast<std::int64_t>(1 + below(30)); };
  std::vector<Numbers> numbers;
  pg::Transaction transaction(session);
  numbers.push_back(insert(session, some()));
  if (what < 4) {
    session.execute("SAVEPOINT s");
    const Numbers within = insert(session, some());
    if (what >= 2) numbers.push_back(within);
    session.execute(what < 2 ? "ROLLBACK TO SAVEPOINT s" : "RELEASE SAVEPOINT s");
    numbers.push_back(insert(session, 1));
  }
  pause(stop);
  if (what == 5) return;  // rolled back
  if (what == 6) {
    const std::string name = prepare(session);
    transaction.commit();  // of nothing: the server says that there is no transaction any more
    pause(stop);
    if (below(2) == 0) return commit_prepared(name, numbers, stop);
    session.execute(fmt::format("ROLLBACK PREPARED '{}'", name));
    return;
  }
  commit(transaction, numbers);
}

void Producer::produce_at_once(pg::Session& session, std::int64_t count) {
  const std::vector<Numbers> numbers{number(count)};
  try {
    session.execute(
        "INSERT INTO events (payload) SELECT jsonb_build_object('n', n) FROM generate_series($1::bigint, "
        "$2::bigint) n",
        numbers[0].first, numbers[0].first + count - 1);
  } catch (const pg::ConnectionLost&) {
    ledger_.doubt(numbers);
    throw;
  }
  ledger_.commit(numbers);
}

void Producer::copy(pg::Session& session, const std::stop_token& stop) {
  const std::int64_t count = has_copied_ ? Options().copied : options_.copied;
  const std::vector<Numbers> numbers{number(count)};
  try {
    pg::CopyIn copy(session, "COPY events (payload) FROM STDIN");
    std::string lines;
    for (std::int64_t n = 0; n < count; ++n) {
      lines += fmt::format("{{\"n\": {}}}\n", numbers[0].first + n);
      if (lines.size() < 60'000) continue;
      copy.write(lines);
      lines.clear();
    }
    copy.write(lines);
    copy.finish();
  } catch (const pg::ConnectionLost&) {
    ledger_.doubt(numbers);
    throw;
  }
  ledger_.commit(numbers);
  has_copied_ = true;
  wait(stop, 1s + 1ms * below(2000));
}

void Producer::produce_slowly(pg::Session& session, const std::stop_token& stop) {
  wait(stop, options_.span / 2);
  prepares_ = !prepares_;
  std::vector<Numbers> numbers;
  std::optional<OpenForLong> told;
  if (!prepares_) told.emplace();
  pg::Transaction transaction(session);
  numbers.push_back(insert(session, 100));
  if (prepares_) {
    const std::string name = prepare(session);
    transaction.commit();
    wait(stop, options_.span);
    return commit_prepared(name, numbers, stop);
  }
  wait(stop, options_.span);
  numbers.push_back(insert(session, 100));
  commit(transaction, numbers);
}

void Producer::commit(pg::Transaction& transaction, const std::vector<Numbers>& numbers) {
  try {
    transaction.commit();
  } catch (const pg::InDoubt&) {
    ledger_.doubt(numbers);
    throw;
  }
  ledger_.commit(numbers);
}

std::string Producer::prepare(pg::Session& session) {
  std::string name = fmt::format("chaos-{}", random_());
  session.execute(fmt::format("PREPARE TRANSACTION '{}'", name));
  return name;
}

void Producer::commit_prepared(const std::string& name, const std::vector<Numbers>& numbers,
                               const std::stop_token& stop) {
  for (bool asked = false;; asked = true) {
    try {
      pg::Session session = connector_.connect(pg::Role::api, "producer");
      session.execute(fmt::format("COMMIT PREPARED '{}'", name));
      return ledger_.commit(numbers);
    } catch (const pg::ConnectionLost&) {
      if (stop.stop_requested()) return ledger_.doubt(numbers);
      std::this_thread::sleep_for(20ms);
    } catch (const pg::Error& error) {
      // Not there: it was the answer that was lost.
      if (!asked || error.sqlstate() != "42704") throw;
      return ledger_.commit(numbers);
    }
  }
}

}  // namespace weir::stream
