#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <weir/error.h>
#include <weir/load_report.h>
#include <weir/load_source.h>

namespace weir {

/// What becomes of the table; docs/loads.md says what each costs, and whom it keeps waiting.
enum class LoadMode { append, upsert, window, refresh, scd2, swap, partition_swap };

/// What becomes of a column that the table has not, and of a value that its column does not hold.
enum class LoadContract { evolve, freeze, discard, quarantine };

/// Of mode window: the rows from `from` up to `to`, which is not one of them.
struct LoadWindow {
  std::string column;
  std::string from;
  std::string to;
};

/// The options of `weir load`, by whose names messages call them.
struct LoadOptions {
  std::string into{};  ///< the table, as SQL would read it; made where there is none
  LoadMode mode = LoadMode::refresh;
  std::vector<std::string> key{};  ///< which row a record is; the primary key of a table that is made
  std::optional<LoadWindow> window{};
  std::string partition{};                       ///< of mode partition_swap
  LoadContract contract = LoadContract::evolve;  ///< --schema
  std::vector<LoadColumn> columns{};             ///< types of a table that is made; else they are inferred

  std::int64_t max_rejects = 0;
  std::optional<double> max_reject_share{};  ///< from 0 to 1, instead of max_rejects
  double max_delete_share = 0.2;             ///< of the rows of the table, or of the window: --max-deletes
  bool allow_mass_delete = false;
  bool allow_empty = false;  ///< a source without records empties the table
  bool reject_duplicates = false;
  std::vector<std::string> not_compared{};

  bool staged = false;         ///< append through the stage too
  bool restart = false;        ///< begin anew where an earlier load was broken off
  bool recreate_views = true;  ///< of mode swap: --views
  std::string history_at{};    ///< of mode scd2: --at
  /// Of mode scd2: valid_from, valid_to and is_current are called so.
  std::vector<std::string> history_columns{};
  std::size_t sample = 10'000;

  std::string pipeline{};              ///< whose state is advanced with the rows
  std::string stream{};                ///< of the pipeline
  std::optional<std::string> state{};  ///< JSON text

  std::chrono::milliseconds wait = std::chrono::minutes(10);         ///< for another load of the table
  std::chrono::milliseconds lock_timeout = std::chrono::seconds(2);  ///< each attempt, 1 ms at least
  std::chrono::milliseconds statement_timeout{};  ///< of the transaction that changes the table; 0: none
  std::string work_mem{};                         ///< of it too: "256MB"
};

/// Brings a table up to a source while others read it: the source is read into a stage, then one short
/// transaction changes the table. What is thrown leaves it as it was; the same load goes on from there where
/// its source is files. Failure::in_doubt alone says that nobody knows.
class Load {
 public:
  using OnProgress = std::function<void(const LoadProgress&)>;

  /// Throws usage for what cannot be meant; nothing is opened or connected yet.
  Load(std::string_view url, const LoadSource& source, const LoadOptions& options);
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;
  ~Load();

  /// Called by plan() and run() in their thread; it must not throw. Before either.
  Load& on_progress(OnProgress tell);

  /// Reads the sample, and changes nothing. What is read of standard input is gone.
  [[nodiscard]] LoadPlan plan(const std::stop_token& stop = {});
  /// Loads. Again, it reads the source again. One thread at a time.
  LoadResult run(const std::stop_token& stop = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace weir
