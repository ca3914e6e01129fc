#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "stream/group_taker.h"

namespace weir::stream {

/// A chunk as a whole, to SQL of the user that reads it as `weir_chunk`: the events never leave the server.
/// When it fails on some of them it is undone and tried on parts of the chunk, until those are found that are
/// to blame; they fail, and the others are done.
class SqlDoer final : public WorkDoer {
 public:
  struct Options {
    std::string sql;          ///< one statement or several, without COMMIT, ROLLBACK or SAVEPOINT
    std::string search_path;  ///< for the user's SQL alone, as SET takes it; empty leaves it as it is
  };
  SqlDoer(const StreamSql& sql, Options options);

  std::size_t work(pg::Session& session, const GroupWork& work, Failures& failures,
                   const std::stop_token& stop) override;
  void work_in_order(pg::Session& session, const GroupWork& work, LaneRun& run,
                     const std::stop_token& stop) override;

 private:
  /// False: it failed, by the fault of an event, and was undone; `error` is what the server said.
  bool try_part(pg::Session& session, std::int64_t first, std::int64_t last, std::string& error);
  /// The same of the events behind a place, up to another.
  bool try_span(pg::Session& session, const Place& past, const Place& until, std::string& error);
  bool try_it(pg::Session& session, const std::function<void()>& set, std::string& error);
  void find_failures(pg::Session& session, const GroupWork& work, Failures& failures, std::string error,
                     const std::stop_token& stop);
  void find_first_failure(pg::Session& session, const GroupWork& work, LaneRun& run, std::string error,
                          const std::stop_token& stop);
  [[nodiscard]] std::vector<Place> places_of(pg::Session& session, const GroupWork& work) const;
  void make_view(pg::Session& session, bool of_lane) const;

  const StreamSql& sql_;
  std::string script_;
  // They tell these views from another stream's.
  std::string mark_;
  std::string lane_mark_;
};

}  // namespace weir::stream
