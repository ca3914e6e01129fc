#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include <weir/error.h>
#include <weir/load.h>

namespace weir {

struct TapLoadOptions {
  /// `into` is a table, or "app.*" or "*" for one of each stream; `stream` is the only stream to load. What a
  /// tap says itself (mode, key, ..) is refused here.
  LoadOptions loads{};
  bool soft_delete = false;  ///< what a new version has not is marked in _sdc_deleted_at, not deleted
  std::chrono::milliseconds apply_every = std::chrono::minutes(1);  ///< 0: until a state
};

/// A Singer tap into its tables. Each apply is a load of its own; the tap's state is committed with the rows
/// and told after that.
class TapLoad {
 public:
  /// All of them are called in the thread of run(), may be left out, and must not throw.
  struct Tell {
    std::function<void(const std::string& state)> state{};  ///< JSON text, to be given to the tap next time
    std::function<void(const LoadResult&, const std::string& stream)> applied{};
    std::function<void(const LoadProgress&)> progress{};
    std::function<void(const std::string& text)> warning{};
  };

  /// `source` is a command, a file or "-"; of the rest `flatten` and `max_record` (16 MiB) count. Throws
  /// usage for what cannot be meant; nothing is opened or connected yet.
  TapLoad(std::string_view url, const LoadSource& source, const TapLoadOptions& options, Tell tell);
  TapLoad(const TapLoad&) = delete;
  TapLoad& operator=(const TapLoad&) = delete;
  ~TapLoad();

  /// To the end of the tap. What is thrown leaves all in place that was told as committed.
  void run(const std::stop_token& stop = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace weir
