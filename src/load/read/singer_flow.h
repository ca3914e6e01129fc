#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "load/read/singer_schema.h"

namespace weir::load {

/// What has come of a stream and was not applied is to be applied now, before anything that follows.
struct SingerApply {
  std::string stream;
  std::uint64_t position = 0;  ///< up to here
  /// Rows of the target that are not among what has come since the last apply are deleted: a refresh.
  bool replace = false;
  /// The version that the target has afterwards; to be kept with its state, and given to SingerFlow next
  /// time.
  std::optional<std::int64_t> version{};
};

/// The rules of a Singer stream as a function of its messages: no I/O, no records. Each record has a
/// position, counted over all streams; what was committed is told as a stream and a position.
///
/// Rows of a version that is not active yet are held: they become visible all at once, when the version is
/// activated, in place of the older rows. A version that nobody activates until the clean end was meant to be
/// visible anyway and is applied like rows without one.
class SingerFlow {
 public:
  /// `active`: the version that each stream's target has, as an earlier run was told by SingerApply.
  explicit SingerFlow(std::map<std::string, std::int64_t> active = {});

  struct SchemaStep {
    bool changed = false;  ///< or it is the first; else nothing is to be done
    std::optional<SingerApply> first{};
    /// The rows that are held keep waiting: what follows has other columns and is applied with them.
    bool held = false;
  };
  SchemaStep on_schema(const std::string& stream, SingerSchema schema);

  struct RecordStep {
    std::uint64_t position = 0;
    std::optional<SingerApply> first{};
  };
  /// The stream has a schema.
  RecordStep on_record(const std::string& stream, std::optional<std::int64_t> version);
  /// The stream has a schema. Nothing where the version is active already, or is to be filled first.
  std::optional<SingerApply> on_version(const std::string& stream, std::int64_t version);
  /// An empty state would make the tap begin anew: it is passed over.
  void on_state(std::string_view value);
  /// The tap ended cleanly: what is still to be applied.
  std::vector<SingerApply> on_end();

  [[nodiscard]] const SingerSchema* schema(const std::string& stream) const;
  /// Whether what has come of the stream may be applied in between, as rows that are added or updated.
  [[nodiscard]] bool may_apply(const std::string& stream) const;

  /// Everything of the stream up to there is committed. Answers the state that may be echoed now, if it is
  /// another one than before.
  std::optional<std::string> committed(const std::string& stream, std::uint64_t position);
  /// The state that holds once that is committed, to be written in the same transaction; changes nothing.
  [[nodiscard]] std::optional<std::string> state_after(const std::string& stream,
                                                       std::uint64_t position) const;
  /// The states that wait for nothing; for when there were no records before them.
  std::optional<std::string> ready_state();

 private:
  struct Stream {
    SingerSchema schema;
    bool has_schema = false;
    std::uint64_t last = 0;     // position of the last record
    std::uint64_t applied = 0;  // what an apply was asked for, or that was committed
    std::uint64_t committed = 0;
    std::optional<std::int64_t> active{};
    std::optional<std::int64_t> held{};  // the version of what is not applied
    std::optional<std::int64_t>
        spilled{};  // the last version of which rows were applied without being activated
    std::optional<std::int64_t> awaited{};  // activated before its records came
  };
  struct State {
    std::string value;
    std::map<std::string, std::uint64_t> after;  // stream and position that must be committed
  };

  SingerApply apply(const std::string& name, Stream& stream, bool replace,
                    std::optional<std::int64_t> version);
  /// How many states, from the first, need no more than what is committed and, beyond it, this.
  [[nodiscard]] std::size_t ready(const std::string& stream, std::uint64_t position) const;
  void thin_out();

  std::map<std::string, Stream> streams_;
  std::vector<State> states_;
  std::uint64_t position_ = 0;
};

}  // namespace weir::load
