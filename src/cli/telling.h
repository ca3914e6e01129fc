#pragma once

#include <span>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "base/clock.h"
#include "cli/command.h"

namespace weir::cli {

/// How often something has happened since a consumer began.
struct Figure {
  std::string_view name;  ///< "tried_again", in JSON; people read "tried again"
  std::int64_t count = 0;
};

/// What a consumer says while it runs: on standard output events with --json, else one line at its end; on
/// standard error what it is doing. The first of its figures has a rate.
class Telling {
 public:
  explicit Telling(Context& context) noexcept : context_(context) {}

  /// How long to wait between two figures: on a terminal one line that changes, elsewhere a line each.
  [[nodiscard]] Duration every() const noexcept;

  /// The clock begins. `members` of the event; `note` for people.
  void started(const nlohmann::ordered_json& members, std::string_view note);
  /// Nothing where nothing has changed.
  void progress(std::span<const Figure> figures);
  void draining(std::string_view note);
  /// `line` is finished with how long it took, and the rate.
  void stopped(std::span<const Figure> figures, bool finished, std::string_view line);

 private:
  Context& context_;
  SteadyTime began_{};
  SteadyTime last_{};
  std::vector<Figure> told_;
};

}  // namespace weir::cli
