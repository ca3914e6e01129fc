#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "pipeline/time/local_time.h"

namespace weir::pipeline {

/// What a local time means.
struct Meaning {
  enum class Kind { unique, skipped, repeated };
  Kind kind = Kind::unique;
  /// Skipped: `first` is the change that skipped it, and `last` is the same. Repeated: the two.
  Instant first;
  Instant last;
};

/// The offset changes at an instant.
struct Change {
  Instant at;
  Offset before;
  Offset after;
};

/// A time zone of the IANA database, as the machine has it. Small to copy; may be used by any thread.
class Zone {
 public:
  /// Throws Error(definition) with a suggestion for a name that is not known. "UTC" is always there.
  static Zone load(std::string_view name);

  [[nodiscard]] const std::string& name() const noexcept;
  [[nodiscard]] LocalTime to_local(Instant at) const;
  [[nodiscard]] Offset offset(Instant at) const;
  /// "CEST"; zones without letters have "+0530".
  [[nodiscard]] std::string abbreviation(Instant at) const;
  [[nodiscard]] Meaning resolve(LocalTime time) const;
  /// The first change of the offset after `at`; nothing where no more are known.
  [[nodiscard]] std::optional<Change> next_change(Instant at) const;

 private:
  struct Data;
  explicit Zone(std::shared_ptr<const Data> data) : data_(std::move(data)) {}

  std::shared_ptr<const Data> data_;
};

}  // namespace weir::pipeline
