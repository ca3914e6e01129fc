#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "pg/connector.h"
#include "pg/transaction.h"

namespace weir::stream {

/// Numbers of events that follow each other, from `first` on.
struct Numbers {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

/// What producers know to be committed, and what they cannot know: kept by them, and not by the stream.
class Ledger {
 public:
  void commit(const std::vector<Numbers>& numbers) { add(committed_, numbers); }
  void doubt(const std::vector<Numbers>& numbers) { add(doubted_, numbers); }
  /// After the last of them.
  [[nodiscard]] std::vector<Numbers> committed() const;
  [[nodiscard]] std::vector<Numbers> doubted() const;

 private:
  void add(std::vector<Numbers>& to, const std::vector<Numbers>& numbers);

  mutable Mutex mutex_;
  std::vector<Numbers> committed_ WEIR_GUARDED_BY(mutex_);
  std::vector<Numbers> doubted_ WEIR_GUARDED_BY(mutex_);
};

/// Writes into the stream as the worst of users do, until it is stopped; a session that is lost is made anew.
/// Each event has a number of its own as payload.n, and what is committed of them goes into the ledger.
class Producer {
 public:
  enum class Kind {
    small,  ///< short transactions, some of which take seconds, are prepared, or rolled back
    large,  ///< 20,000 events at once among them
    copy,   ///< COPY: `copied` events the first time, then fewer
    slow,   ///< transactions that are open for `span`, every other one of them prepared
  };
  struct Options {
    Kind kind = Kind::small;
    std::int64_t copied = 2'000;
    Duration span{};
  };
  Producer(pg::Conninfo conninfo, std::uint64_t seed, int number, Options options, Ledger& ledger)
      : connector_(std::move(conninfo), {.users_search_path = true}),
        random_(seed),
        options_(options),
        ledger_(ledger),
        next_(std::int64_t{number} << 40U) {}

  void run(const std::stop_token& stop);
  /// A slow one is in a transaction that does not outlive the server.
  static bool is_open_for_long() noexcept;

 private:
  std::size_t below(std::size_t limit) {
    return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random_);
  }
  Numbers number(std::int64_t count);
  Numbers insert(pg::Session& session, std::int64_t count);
  void pause(const std::stop_token& stop);
  void produce(pg::Session& session, const std::stop_token& stop);
  void produce_small(pg::Session& session, const std::stop_token& stop);
  void produce_at_once(pg::Session& session, std::int64_t count);
  void copy(pg::Session& session, const std::stop_token& stop);
  void produce_slowly(pg::Session& session, const std::stop_token& stop);
  /// What is in doubt is no loss: the ledger knows it as such.
  void commit(pg::Transaction& transaction, const std::vector<Numbers>& numbers);
  std::string prepare(pg::Session& session);
  /// However often the server goes meanwhile.
  void commit_prepared(const std::string& name, const std::vector<Numbers>& numbers,
                       const std::stop_token& stop);

  const pg::Connector connector_;
  std::mt19937_64 random_;
  const Options options_;
  Ledger& ledger_;
  std::int64_t next_;
  bool prepares_ = false;
  bool has_copied_ = false;
};

}  // namespace weir::stream
