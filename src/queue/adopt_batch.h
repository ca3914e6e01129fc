#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "pg/session.h"
#include "queue/adopt_retries.h"
#include "queue/adopt_sql.h"
#include "work/handler.h"

namespace weir::queue {

struct AdoptBatchOptions {
  std::size_t rows = 10'000;
  /// The handler's SQL runs in the batch's transaction. False for commands, which have no part in it.
  bool transactional = true;
  /// Row locks and the oldest snapshot are held as long as a batch lasts: what is longer is warned about.
  Duration budget = std::chrono::seconds(30);
};

struct AdoptBatchReport {
  std::size_t claimed = 0;
  std::size_t done = 0;
  std::size_t failed = 0;    ///< and will be tried again
  std::size_t given_up = 0;  ///< and will not
  std::size_t later = 0;     ///< handed back or snoozed
  std::optional<std::string> last_mark;
  Duration claim_took{};
  Duration took{};
};

/// One batch: claim, handler and UPDATE in one transaction, so that the effects of a transactional handler
/// happen exactly once whatever is killed. Each run of the handler has a savepoint: when it throws, or the
/// rows it worked on cannot be marked, its effects are undone and it is run again on each half, until the bad
/// rows are alone (work::Bisection). An SQL error that no row can be blamed for undoes the batch and is
/// thrown. A handler that settles a row as failed has undone that row's effects itself. Used by one
/// thread.
class AdoptBatchRunner {
 public:
  AdoptBatchRunner(std::string source, const AdoptSql& sql, AdoptRetries& retries, work::Handler& handler,
                   bool keeps_errors, AdoptBatchOptions options);

  /// With a mark: from it on. Throws what the session throws; nothing has happened to the rows then, unless
  /// it is InDoubt.
  AdoptBatchReport run(pg::Session& session, const std::optional<std::string>& mark,
                       const std::stop_token& stop);

 private:
  struct Row {
    int place;  ///< in the claim's answer
    std::string identity;
    std::string error;  ///< of the attempt before
    work::Outcome outcome;
    bool gives_up = false;
    bool noted = false;  ///< its failure is, in `retries_`
  };

  bool claim(pg::Session& session, const std::optional<std::string>& mark, AdoptBatchReport& report);
  void take_row(int place);
  /// Runs `unit` on all rows, and on parts of them where it fails.
  void divide(pg::Session& session, const std::function<void(std::size_t begin, std::size_t end)>& unit);
  void run_handler(pg::Session* session, std::size_t begin, std::size_t end);
  void mark_done(pg::Session& session, std::size_t begin, std::size_t end);
  void keep_errors(pg::Session& session);
  /// Before COMMIT gives the rows to others, who are not to try again at once what failed here.
  void note_failures();
  void conclude(AdoptBatchReport& report);
  void refuse_all(const std::string& error);
  [[nodiscard]] std::vector<std::vector<std::string>> keys_of(const std::vector<std::size_t>& chosen) const;
  void warn_if_long(Duration took, std::size_t rows);

  const std::string source_;
  const AdoptSql& sql_;
  AdoptRetries& retries_;
  work::Handler& handler_;
  const bool keeps_errors_;
  const AdoptBatchOptions options_;
  SteadyTime warn_again_{};

  // Of the batch at hand.
  std::optional<pg::Result> answer_;
  std::vector<work::Item> items_;
  std::vector<Row> rows_;
  std::stop_token stop_;
};

}  // namespace weir::queue
