#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "load/write/schema_change.h"
#include "load/write/spec.h"
#include "load/write/stage_sql.h"
#include "load/write/target.h"
#include "pg/copy.h"
#include "pg/transaction.h"

namespace weir::load {

/// A record that the source gave and the target will not get.
struct Reject {
  std::int64_t line = 0;
  std::string file{};
  std::string column{};
  std::string sqlstate{};
  std::string reason;
  std::string raw{};
  /// Its key is in the stage, as a row of its own (see StageChunk): the row of this key stays as it is. Where
  /// a reject has none, nobody knows which old row it would have been, and nothing at all is deleted.
  bool key_is_staged = false;
};

/// A stage of a run: an UNLOGGED table in weir_stage, with the columns loaded and behind them weir_line int8
/// and weir_part int8 (StageTable): the numbers that RowEncoder::add() appends. Kept and used again by the
/// next load.
///
/// Whoever has it holds a session lock: `holder` lives as long as the Stage and does nothing else meanwhile
/// that would end it. Chunks are written through any session. It has to live until apply() has returned: a
/// stage whose lock is free is emptied by the next load.
class Stage {
 public:
  /// Takes the stage of `run` if it left one, else a free one of the target, emptied. Rows of chunks after a
  /// hole are taken out, so that reading goes on behind last(). One that was left may have become wider, and
  /// have more columns, than it would be made now: it is the record of how far change() had come.
  ///
  /// A target that is not there yet (oid 0) has a stage of the run's own, which nobody else takes.
  /// Throws refused when another process is loading that run.
  static Stage open(pg::Session& holder, const Target& target, const LoadSpec& spec, std::int64_t run);
  Stage(Stage&& other) noexcept;
  Stage& operator=(Stage&&) = delete;
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;
  ~Stage();

  /// Qualified and quoted.
  [[nodiscard]] const std::string& sql() const noexcept { return table_.sql; }
  [[nodiscard]] std::int64_t run() const noexcept { return run_; }
  /// spec.columns, and behind them those that came later.
  [[nodiscard]] const std::vector<std::string>& columns() const noexcept { return columns_; }
  /// Their types in the stage, for RowEncoder: those that the server has to cast are text.
  [[nodiscard]] const std::vector<ColumnType>& types() const noexcept { return types_; }

  /// The last chunk of an unbroken row of them from 0; nothing: begin at the beginning.
  struct Resume {
    std::int64_t chunk = 0;
    std::string position;   ///< what commit() was given, JSON
    std::int64_t rows = 0;  ///< in all chunks
    std::int64_t rejects = 0;
  };
  [[nodiscard]] const std::optional<Resume>& resume() const noexcept { return resume_; }

  /// Adds columns, null in the rows there are, and makes others wider. Between two chunks. It may write the
  /// whole stage anew.
  void change(pg::Session& session, const Drift& drift);

  /// What a finished stage holds; apply() looks whether it still does.
  struct Sealed {
    StageTable table;
    std::int64_t run = 0;
    std::int64_t chunks = 0;
    std::int64_t rows = 0;     ///< without those that carry the key of a reject
    std::int64_t rejects = 0;  ///< that the reader found
    std::int64_t bytes = 0;    ///< of the table
  };
  /// After the last chunk. Throws when chunks are missing, as when the server crashed and emptied it.
  /// ANALYZE.
  Sealed seal(pg::Session& session, std::int64_t chunks);
  /// Empties it: after the load. The next load of the target uses it again; one of a table that was not
  /// there, or that is replaced, is dropped.
  void clear(pg::Session& session);
  /// Gives its room back to the disk, when the run is given up.
  void drop(pg::Session& session);

 private:
  Stage(pg::Session& holder, std::string name, StageTable table, std::int64_t run, bool once);
  [[nodiscard]] StageTable make_way(pg::Session& session, const Drift& drift) const;
  pg::Session* holder_;
  std::string name_;
  StageTable table_;
  std::int64_t run_;
  bool once_;  // of no use to another load: its target is not there yet, or will be another table
  std::vector<ColumnType> types_;
  std::vector<std::string> columns_;
  std::optional<Resume> resume_;
  friend class StageChunk;
};

/// One piece of the source, in a transaction of its own. Destroyed before commit(), it has never been.
///
/// `write` takes RowEncoder's bytes (begin() .. rows .. end()), in pieces of any size. Each row's numbers are
/// {line, chunk}; a row that carries only the key of a reject, with all else null, has {line,
/// key_only(chunk)}.
class StageChunk {
 public:
  StageChunk(pg::Session& session, const Stage& stage, std::int64_t chunk);
  void write(std::string_view bytes);
  /// `position` is JSON: where the source goes on behind this chunk.
  void commit(std::string_view position, const std::vector<Reject>& rejects = {});

  static constexpr std::int64_t key_only(std::int64_t chunk) noexcept { return -1 - chunk; }

 private:
  const Stage* stage_;
  pg::Session* session_;
  std::int64_t chunk_;
  pg::Transaction transaction_;
  std::optional<pg::CopyIn> copy_;
  std::int64_t bytes_ = 0;
};

}  // namespace weir::load
