#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/deadline.h"
#include "load/load.h"
#include "load/read/record_spool.h"
#include "load/read/singer_reader.h"
#include "load/singer_state.h"

namespace weir::load {

struct SingerLoadOptions {
  /// "app.rates" for the one stream of a tap (or the one named below), "app.*" or "*" for tables that are
  /// called what their streams are.
  std::string into;
  std::string stream{};  ///< only this one; records of others are passed over. Empty: all
  std::size_t flatten = 0;
  /// Rows that a newer version of their stream has not are marked in the column _sdc_deleted_at, not deleted.
  bool soft_delete = false;
  std::size_t max_message_bytes = std::size_t{16} << 20U;
  /// What the loads have in common. `pipeline` is whose state it is; empty: default_pipeline().
  LoadOptions each{};
  /// Records wait that long, or until they are that many bytes, for more of them to be applied with.
  Duration apply_every = std::chrono::minutes(1);
  std::uint64_t apply_bytes = std::uint64_t{256} << 20U;
};

/// Whose state it is where nobody says: what is loaded into `into`.
std::string default_pipeline(const std::string& into);

/// A Singer tap into its tables. Records of each stream wait on disk until the tap lets them be applied; then
/// each is a Load of its own: an upsert by the stream's key, an append where it has none, a refresh when a
/// version was activated. The tap's state is committed with the rows, and told after that.
///
/// Records without a key are applied where a state follows them, if one comes in time: a run that goes on
/// from the state that was committed finds all and only the records that were not.
class SingerLoad {
 public:
  struct Tell {
    Load::OnProgress progress{};
    std::function<void(const std::string& state)> state{};  ///< to be given to the tap next time
    std::function<void(const LoadReport&, const LoadOptions&)> report{};
    std::function<void(const std::string& text)> warning{};
  };

  SingerLoad(std::shared_ptr<const pg::Connector> connector, std::unique_ptr<ByteSource> source,
             SingerLoadOptions options, Tell tell);
  SingerLoad(const SingerLoad&) = delete;
  SingerLoad& operator=(const SingerLoad&) = delete;
  ~SingerLoad() = default;

  /// Once, to the end of the tap. What is thrown leaves all that was told as committed in place.
  void run(const std::stop_token& stop);

 private:
  struct Stream {
    RecordSpool spool{};
    std::vector<SingerColumn> columns{};  // of all that is in the spool
    std::vector<std::string> keys{};
    std::string target{};
    std::uint64_t position = 0;  // of the last record
    SteadyTime since{};          // the first record in the spool came
    bool ignored = false;
    bool warned = false;
  };

  void take(const SingerEvent& event);
  void take_schema(const SingerEvent& event);
  void take_record(const SingerEvent& event);
  void apply(const SingerApply& apply);
  void load(const std::string& name, Stream& stream, const SingerApply& apply);
  /// Between what the tap asks for: at a state, all that has waited long enough and what waits beside it.
  void apply_what_waits();
  /// Also while the tap is silent: what waits too long, and how long until something does.
  void apply_overdue();
  [[nodiscard]] Deadline next_due() const;
  [[nodiscard]] bool may_apply_all() const;
  [[nodiscard]] bool is_due(const Stream& stream, int patience) const;
  void echo(std::optional<std::string> state);
  void warn_of_unknown_keys(const std::string& name, Stream& stream) const;
  Stream& stream_of(const std::string& name);
  [[nodiscard]] std::string target_of(const std::string& stream) const;
  [[nodiscard]] pg::Session connect() const;

  std::shared_ptr<const pg::Connector> connector_;
  std::unique_ptr<ByteSource> source_;
  SingerLoadOptions options_;
  Tell tell_;
  std::stop_token stop_;
  std::map<std::string, Stream> streams_;
  std::optional<SingerReader> reader_;
  SingerState state_;
  std::uint64_t records_ = 0;
  bool at_state_ = false;  // nothing came since
};

}  // namespace weir::load
