// Expressions of strangers. What holds for each: it is refused with a column within it, or each minute that
// it finds matches, comes after the one before, and none in between does; and the way back finds it again.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "pipeline/time/tick.h"

namespace {

using namespace weir::pipeline;

void require(bool holds, std::string_view what, std::string_view text) {
  if (holds) return;
  fmt::print(stderr, "{}: {}\n", what, text);
  std::abort();
}

const Zone& zone_of(std::uint8_t choice) {
  static const Zone zones[] = {Zone::load("UTC"), Zone::load("Europe/Berlin"),
                               Zone::load("Australia/Lord_Howe"), Zone::load("Africa/Casablanca")};
  return zones[choice % 4];
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 4) return 0;
  const Zone& zone = zone_of(data[0]);
  const DstRule rule{.gap = data[1] % 2 == 0 ? DstRule::Gap::shift : DstRule::Gap::skip,
                     .overlap = static_cast<DstRule::Overlap>(data[1] / 2 % 3)};
  const Instant from =
      std::chrono::sys_days(std::chrono::year(2000) / 1 / 1) + std::chrono::days(50 * data[2]);
  const std::string text(reinterpret_cast<const char*>(data) + 3, size - 3);
  try {
    const Cron cron = Cron::parse(text);
    const LocalTime wall = zone.to_local(from);
    const auto first = cron.next(wall, wall + std::chrono::days(2));
    for (LocalTime at = wall; at < first.value_or(wall + std::chrono::days(2)); at += std::chrono::minutes(1))
      require(!cron.matches(at), "a minute was passed over", text);
    if (first) require(cron.matches(*first), "no match", text);

    auto at = next_tick(cron, zone, rule, from);
    require(at.has_value(), "it never runs", text);
    for (int i = 0; i < 3; ++i) {
      const auto later = next_tick(cron, zone, rule, *at);
      require(later && *later > *at, "time stands still", text);
      require(previous_tick(cron, zone, rule, *later) == at, "the way back is another one", text);
      at = later;
    }
  } catch (const CronError& error) {
    require(error.column() >= 1 && static_cast<std::size_t>(error.column()) <= text.size() + 1,
            "a column outside of it", text);
  }
  return 0;
}
