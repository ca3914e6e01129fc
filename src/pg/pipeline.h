#pragma once

#include <deque>
#include <functional>
#include <initializer_list>
#include <optional>

#include <tl/expected.hpp>

#include "pg/session.h"

namespace weir::pg {

/// Many statements without waiting for each answer. Statements up to end_group() are one transaction: when
/// one fails, its group is undone and the next group goes on. The session belongs to it until finish();
/// destroyed before that, it closes the session, because nobody will read the answers.
class Pipeline {
 public:
  using Outcome = tl::expected<Result, ErrorInfo>;
  /// Called for each statement in the order of run(), its number counted from 0.
  using OnOutcome = std::function<void(std::size_t number, Outcome outcome)>;

  /// Prepares `queries`, the only ones that run() then takes: inside a group that fails a Parse would be
  /// skipped. Without `on_outcome`, finish() throws the first error.
  Pipeline(Session& session, std::initializer_list<const Query*> queries, OnOutcome on_outcome = {});
  ~Pipeline();
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  template <class NamedQuery, class... T>
  void run(const T&... arguments) {
    static_assert(sizeof...(T) == std::tuple_size_v<typename NamedQuery::Arguments>,
                  "one argument for each parameter");
    params_.clear();
    Session::add_arguments<typename NamedQuery::Arguments>(params_, std::forward_as_tuple(arguments...),
                                                           std::index_sequence_for<T...>());
    run(NamedQuery::kQuery, params_);
  }
  void run(const Query& query, Params& params);
  void execute(const std::string& sql, Params& params);

  void end_group();
  /// Ends the last group and waits for every answer.
  void finish();

 private:
  enum class Expected { statement, sync };

  void check_open() const;
  void sent(Expected what);
  void count_bytes(const Params::View& params);
  /// Reads the answer to the oldest thing sent.
  void reap();
  void reap_what_is_ready();
  void deliver(Outcome outcome);

  Session* session_;
  OnOutcome on_outcome_;
  Params params_;
  std::deque<Expected> expected_;
  std::size_t next_number_ = 0;
  std::size_t unflushed_ = 0;  // bytes of parameters handed to libpq, which queues without bound
  bool group_is_open_ = false;
  bool open_ = true;
  std::optional<ErrorInfo> first_error_;
};

}  // namespace weir::pg
