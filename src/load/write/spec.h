#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::load {

enum class Mode : std::uint8_t { append, upsert, window, refresh, scd2, swap, partition_swap };
std::string_view to_string(Mode mode) noexcept;
/// "partition-swap"; nothing for an unknown word.
std::optional<Mode> parse_mode(std::string_view word) noexcept;

/// [from, to) of a column. The bounds are literals in the column's type.
struct Window {
  std::string column;
  std::string from;
  std::string to;
};

/// What the columns are called that a history (scd2) has beside those of the source.
struct HistoryColumns {
  std::string valid_from = "valid_from";
  std::string valid_to = "valid_to";      ///< null: still valid
  std::string is_current = "is_current";  ///< optional in the table

  friend bool operator==(const HistoryColumns&, const HistoryColumns&) = default;
};

struct Guard {
  double max_delete_share = 0.2;  ///< of the rows there were (of the window, for a window)
  bool allow_mass_delete = false;
  bool allow_empty = false;  ///< an empty source empties the table (or the window)
};

/// How many records may be rejected. Judged before anything is committed.
struct RejectLimit {
  std::int64_t rows = 0;
  std::optional<double> share{};  ///< of the records read; takes the place of `rows`
  [[nodiscard]] bool allows_any() const noexcept { return share ? *share > 0 : rows > 0; }
  [[nodiscard]] bool allows(std::int64_t rejected, std::int64_t read) const noexcept;
  /// "none may be rejected", "10 may be rejected", "0.5% may be rejected".
  [[nodiscard]] std::string text() const;
};

struct LoadSpec {
  Mode mode = Mode::refresh;
  std::vector<std::string> columns;         ///< of the target, that the source gives, in the stage's order
  std::vector<std::string> key{};           ///< empty: whole rows
  std::vector<std::string> not_compared{};  ///< written, but a change in them alone is no change
  std::optional<Window> window{};
  HistoryColumns history{};
  std::string history_at{};  ///< a timestamp as literal; empty: the time of the transaction
  std::string partition{};   ///< of partition-swap: the name of the partition to replace
  Guard guard{};
  RejectLimit rejects{};
  /// Of several records with one key the last one counts; true: all but the last one are rejects.
  bool reject_duplicates = false;
  /// Of refresh: rows that the source has not get the time in this column, which is null in those it has,
  /// instead of being deleted. They count as deleted.
  std::string deleted_at{};
  bool recreate_views = true;  ///< of swap: false refuses where views depend on the table
};

}  // namespace weir::load
