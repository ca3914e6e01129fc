#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace weir {

struct LoadColumn {
  std::string name;
  std::string type;  ///< as SQL writes it
};

/// Told now and then, from the thread that loads.
struct LoadProgress {
  enum class Phase { sample, stage, apply, care };
  Phase phase = Phase::sample;
  std::uint64_t rows = 0;
  std::uint64_t rejected = 0;
  std::uint64_t bytes = 0;             ///< that were read of the source, as it is stored
  std::uint64_t total = 0;             ///< 0: nobody knows, as of a pipe
  std::string note{};                  ///< what it waits for, a retry
  std::vector<std::string> notices{};  ///< what was guessed of the source, all until now
};

struct LoadStep {
  std::string phase;     ///< columns, stage, check, apply, swap, care
  std::string name;      ///< "delete", "update", ..
  std::string relation;  ///< whose lock it is
  std::string lock;      ///< "ROW EXCLUSIVE"; empty: none
  std::string note;
  std::string sql;
};

struct LoadRefusal {
  std::string reason;
  std::string remedy;
};

/// What a load would do, by the sample of its source.
struct LoadPlan {
  std::string table;
  std::string create_sql{};  ///< of a table that is made first
  std::vector<LoadColumn> columns_added{};
  std::vector<LoadColumn> columns_widened{};
  std::vector<std::string> columns_left_out{};
  std::vector<LoadStep> steps{};
  std::string strongest_lock{};         ///< on the table; empty: none
  std::vector<LoadRefusal> refusals{};  ///< not empty: run() would throw the first of them
  std::vector<std::string> warnings{};
  std::vector<std::string> notices{};
  std::uint64_t sampled = 0;
  std::uint64_t sample_rejected = 0;
};

/// What a load has done.
struct LoadResult {
  std::int64_t run = 0;  ///< for weir load show, rejects, replay
  std::string table;
  bool created = false;
  bool direct = false;  ///< straight into the table, without the stage
  std::vector<LoadColumn> columns_added{};
  std::vector<LoadColumn> columns_widened{};
  std::vector<std::string> columns_left_out{};

  std::int64_t records = 0;       ///< read
  std::int64_t resumed_from = 0;  ///< of them staged by an earlier run that was broken off
  std::int64_t inserted = 0;
  std::int64_t updated = 0;
  std::int64_t deleted = 0;
  std::int64_t unchanged = 0;
  std::int64_t closed = 0;      ///< versions of a history that ended
  std::int64_t duplicates = 0;  ///< records whose key came again later
  std::int64_t rejected = 0;
  std::int64_t withheld_deletes = 0;  ///< rows that stay because a rejected record may be theirs
  std::int64_t rows_before = 0;
  std::map<std::string, std::uint64_t> discarded_values{};  ///< by column
  std::map<std::string, std::uint64_t> rounded_values{};

  std::optional<std::int64_t> wal_bytes{};  ///< nothing where the role may not look
  std::string strongest_lock{};             ///< on the table, as the server had it before the commit
  std::chrono::nanoseconds longest_wait{};  ///< of the load, for a lock
  std::int64_t readers_waited = 0;          ///< for the load; -1, as others_waited: not known
  std::chrono::nanoseconds longest_reader_wait{};
  std::int64_t others_waited = 0;
  std::chrono::nanoseconds longest_other_wait{};
  std::int64_t dead_rows = 0;
  int attempts = 1;
  bool was_in_doubt = false;  ///< the answer to COMMIT was lost, and it was found to have happened
  std::chrono::nanoseconds took{};
  std::chrono::nanoseconds apply_took{};  ///< of the one transaction that changed the table

  bool vacuumed = false;
  bool analyzed = false;
  std::string not_vacuumed{};  ///< why
  std::vector<std::string> advice{};
  std::vector<std::string> warnings{};
  std::vector<std::string> notices{};
};

}  // namespace weir
