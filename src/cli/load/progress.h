#pragma once

#include <cstdint>
#include <string>

#include "cli/command.h"
#include "load/load.h"

namespace weir::cli {

/// What is made of the figures of a load that runs: rates and what is left. Pure but for the time it is told.
class LoadMeter {
 public:
  struct View {
    load::LoadProgress at{};
    double seconds = 0;          ///< since the first figures
    double rows_per_second = 0;  ///< of the phase
    double bytes_per_second = 0;
    std::optional<double> share{};  ///< of the source's bytes, where its size is known
    std::optional<double> left{};   ///< seconds
  };
  View add(const load::LoadProgress& progress, SteadyTime now);

 private:
  std::optional<SteadyTime> began_;
  std::optional<SteadyTime> phase_began_;
  load::LoadProgress phase_first_{};
};

std::string_view to_string(load::LoadProgress::Phase phase) noexcept;

/// "stage [####------] 42%  1,234,567 rows  103.0 MiB  45.1 MiB/s  2 s left"
std::string progress_text(const LoadMeter::View& view);

/// Shows a load while it runs: one line that overwrites itself on a terminal, lines elsewhere, log records
/// with --log json, nothing with --quiet.
class LoadProgressView {
 public:
  explicit LoadProgressView(Context& context);
  void show(const load::LoadProgress& progress);

 private:
  [[nodiscard]] bool is_due(const load::LoadProgress& progress, SteadyTime now);
  void log(const LoadMeter::View& view) const;
  void tell(const std::string& notice);

  Context& context_;
  bool as_log_;
  Duration every_;
  LoadMeter meter_;
  std::optional<load::LoadProgress::Phase> shown_phase_;
  std::string shown_note_;
  std::size_t told_notices_ = 0;
  SteadyTime next_{};
};

}  // namespace weir::cli
