#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "load/write/spec.h"
#include "load/write/target.h"

namespace weir::pg {
class Session;
class Transaction;
}  // namespace weir::pg

namespace weir::load {

/// weir.load_run: what a load was and became. States: staging > applied | failed. `applied` is written by the
/// apply transaction itself, so it is true exactly when the rows are there.
struct RunStart {
  std::string pipeline;
  std::string stream;
  std::string source;       ///< for people: "rates.csv"
  std::string fingerprint;  ///< of source, target, mode, key and columns: what may be resumed
};
std::int64_t begin_run(pg::Session& session, const RunStart& start, const Target& target, Mode mode);

/// The last run of the same fingerprint that neither was applied nor can be running.
std::optional<std::int64_t> find_resumable(pg::Session& session, std::string_view fingerprint);

/// Goes on with it, once its stage is held. `target` may have come to be since it began. Throws refused when
/// it has ended meanwhile.
void resume_run(pg::Session& session, std::int64_t run, const Target& target);
/// In the transaction that applies it. Throws refused when it has ended meanwhile: its rows may be there.
void finish_run(pg::Session& session, std::int64_t run, std::int64_t rejects, std::string_view summary);
void fail_run(pg::Session& session, std::int64_t run, std::string_view error);
/// Ended early: failed, unless it may be resumed; then it stays `staging`, with the error.
void break_run(pg::Session& session, std::int64_t run, std::string_view error);

struct RunRow {
  std::int64_t id = 0;
  std::string pipeline;
  std::string stream;
  std::string source;
  std::string target;
  std::string mode;
  std::string state;
  std::string error;
  std::string summary;  ///< JSON of Applied; empty before
  std::int64_t rejects = 0;
  WallTime started_at{};
  std::optional<WallTime> ended_at{};
  bool running = false;    ///< of `staging`: a session of it is there
  bool resumable = false;  ///< of `staging`: the same command goes on with it
};
/// The newest first. `target` empty: of all.
std::vector<RunRow> list_runs(pg::Session& session, std::string_view target, std::int64_t limit);
std::optional<RunRow> find_run(pg::Session& session, std::int64_t run);

struct RejectRow {
  std::int64_t line = 0;
  std::string file;
  std::string column;
  std::string sqlstate;
  std::string reason;
  std::string raw;
};
/// What is kept of a record; the rest of a longer one is gone.
inline constexpr std::size_t kRejectKept = std::size_t{64} << 10U;

/// The rejects of a run in the order of their lines. Holds a few of them at a time, however many and however
/// long they are. Nobody else uses the session, which is in no transaction, until the last one was given.
class RejectCursor {
 public:
  RejectCursor(pg::Session& session, std::int64_t run);
  RejectCursor(const RejectCursor&) = delete;
  RejectCursor& operator=(const RejectCursor&) = delete;
  ~RejectCursor();

  std::optional<RejectRow> next();

 private:
  void fetch();

  pg::Session* session_;
  std::unique_ptr<pg::Transaction> transaction_;  // until the end
  std::vector<RejectRow> batch_;
  std::size_t at_ = 0;
  std::size_t wanted_;
};

/// All of them, by a cursor: `use` does nothing with the session.
void each_reject(pg::Session& session, std::int64_t run, const std::function<void(const RejectRow&)>& use);

/// Why records were rejected: by column and sqlstate, the most frequent first, each with its first record.
struct RejectReason {
  std::int64_t count = 0;
  RejectRow first;
};
std::vector<RejectReason> reject_reasons(pg::Session& session, std::int64_t run, std::int64_t most);

}  // namespace weir::load
