#include "cli/load/progress.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"

namespace weir::cli {
namespace {

using namespace std::chrono_literals;
using Phase = load::LoadProgress::Phase;

/// With all that follows it fits into 80 columns.
constexpr std::size_t kBarWidth = 10;
/// Where each step costs a line.
constexpr Duration kLineEvery = 10s;
constexpr Duration kLogEvery = 1s;
constexpr Duration kRedrawEvery = 100ms;
/// A rate over less time than this is none.
constexpr double kLeastSeconds = 0.2;

std::string bar(double share) {
  const auto full = static_cast<std::size_t>(std::floor(share * kBarWidth));
  return fmt::format("[{:#<{}}{:-<{}}]", "", full, "", kBarWidth - full);
}

}  // namespace

std::string_view to_string(Phase phase) noexcept {
  switch (phase) {
    case Phase::sample: return "sample";
    case Phase::stage: return "stage";
    case Phase::apply: return "apply";
    case Phase::care: return "care";
  }
  return "unknown";
}

LoadMeter::View LoadMeter::add(const load::LoadProgress& progress, SteadyTime now) {
  if (!began_) began_ = now;
  if (!phase_began_ || phase_first_.phase != progress.phase) {
    phase_began_ = now;
    phase_first_ = progress;
  }
  View view{.at = progress, .seconds = to_seconds(now - *began_)};
  const double within = to_seconds(now - *phase_began_);
  if (within >= kLeastSeconds) {
    view.rows_per_second = static_cast<double>(progress.rows - phase_first_.rows) / within;
    view.bytes_per_second = static_cast<double>(progress.read.bytes - phase_first_.read.bytes) / within;
  }
  const bool reads = progress.phase == Phase::sample || progress.phase == Phase::stage;
  if (reads && progress.read.total > 0) {
    // A file may grow while it is read.
    const std::uint64_t bytes = std::min(progress.read.bytes, progress.read.total);
    view.share = static_cast<double>(bytes) / static_cast<double>(progress.read.total);
    if (view.bytes_per_second > 0)
      view.left = static_cast<double>(progress.read.total - bytes) / view.bytes_per_second;
  }
  return view;
}

std::string progress_text(const LoadMeter::View& view) {
  const load::LoadProgress& at = view.at;
  std::string text(to_string(at.phase));
  if (view.share) text += fmt::format(" {} {:.0f}%", bar(*view.share), std::floor(*view.share * 100));
  if (at.rows > 0)
    text +=
        fmt::format("  {} row{}", human_count(static_cast<std::int64_t>(at.rows)), at.rows == 1 ? "" : "s");
  const bool reads = at.phase == Phase::sample || at.phase == Phase::stage;
  if (reads && at.read.bytes > 0) text += fmt::format("  {}", human_bytes(at.read.bytes));
  if (reads && view.bytes_per_second >= 1)
    text += fmt::format("  {}/s", human_bytes(static_cast<std::uint64_t>(view.bytes_per_second)));
  if (at.rejected > 0)
    text += fmt::format("  {} rejected", human_count(static_cast<std::int64_t>(at.rejected)));
  if (const auto left = std::llround(view.left.value_or(0)); left > 0)
    text += fmt::format("  {} left", human_duration(1s * left));
  if (!at.note.empty()) text += fmt::format("  {}", at.note);
  return text;
}

LoadProgressView::LoadProgressView(Context& context)
    : context_(context),
      as_log_(context.global.log_format == log::Format::json && !context.global.quiet),
      every_(as_log_ ? kLogEvery : (context.progress.overprints() ? kRedrawEvery : kLineEvery)) {}

void LoadProgressView::show(const load::LoadProgress& progress) {
  for (; told_notices_ < progress.notices.size(); ++told_notices_) tell(progress.notices[told_notices_]);
  const SteadyTime now = std::chrono::steady_clock::now();
  const LoadMeter::View view = meter_.add(progress, now);
  if (!is_due(progress, now)) return;
  if (as_log_) {
    log(view);
  } else {
    context_.progress.step(progress_text(view));
  }
}

/// At once: whoever reads it may want to stop the load.
void LoadProgressView::tell(const std::string& notice) {
  if (as_log_) {
    log::warn("load", {{"notice", notice}});
  } else {
    context_.progress.clear();
    context_.progress.note(notice);
  }
}

bool LoadProgressView::is_due(const load::LoadProgress& progress, SteadyTime now) {
  const bool news = shown_phase_ != progress.phase || shown_note_ != progress.note;
  if (!news && now < next_) return false;
  next_ = now + every_;
  shown_phase_ = progress.phase;
  shown_note_ = progress.note;
  return true;
}

void LoadProgressView::log(const LoadMeter::View& view) const {
  log::info("load", {{"phase", to_string(view.at.phase)},
                     {"rows", view.at.rows},
                     {"rejected", view.at.rejected},
                     {"bytes", view.at.read.bytes},
                     {"total_bytes", view.at.read.total},
                     {"seconds", view.seconds},
                     {"rows_per_second", view.rows_per_second},
                     {"bytes_per_second", view.bytes_per_second},
                     {"left_seconds", view.left.value_or(-1)},
                     {"note", view.at.note}});
}

}  // namespace weir::cli
