#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weir/error.h>
#include <weir/new_job.h>
#include <weir/sql.h>

namespace weir {

struct ClientOptions {
  std::string name = "client";  ///< shown in pg_stat_activity, as weir:api:<name>
  std::size_t sessions = 4;     ///< at most so many transactions at a time; others wait in line
};

/// Hands work in. Any thread may use it; a Transaction belongs to the thread that began it, and must not
/// outlive the client.
///
/// A job is checked before anything is sent: what is no JSON, not UTF-8 or has a zero byte is an Error of
/// Failure::usage, and the transaction goes on.
class Client {
 public:
  /// `url` as psql takes it; connects, and throws when there is nobody.
  explicit Client(std::string_view url, ClientOptions options = {});
  Client(Client&& other) noexcept;
  Client& operator=(Client&& other) noexcept;
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client();

  [[nodiscard]] Transaction begin();

  /// Within a transaction: the job is there when it commits, and never was when it is rolled back. Answers
  /// its id; for a unique key that is taken, the id of who has it.
  static std::int64_t enqueue(Sql& transaction, const NewJob& job);
  static std::vector<std::int64_t> enqueue_many(Sql& transaction, std::span<const NewJob> jobs);

  /// In a transaction of its own. Throws Failure::in_doubt when the session goes before the answer came; with
  /// a unique key it may simply be done again.
  std::int64_t enqueue(const NewJob& job);
  std::vector<std::int64_t> enqueue_many(std::span<const NewJob> jobs);

  /// Any number of jobs by COPY, in bounded memory; all of them or none. `next` writes the next job over the
  /// one it is given, and answers false at the end. Not for unique keys. Answers how many there were.
  using NextJob = std::function<bool(NewJob&)>;
  std::int64_t enqueue_bulk(const NextJob& next);
  static std::int64_t enqueue_bulk(Sql& transaction, const NextJob& next);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace weir
