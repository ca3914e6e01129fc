#include "cli/groups_picture.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"
#include "cli/term/table.h"

namespace weir::cli {
namespace {

using group::GroupsDemoWay;

constexpr std::array<std::string_view, 9> kBlocks{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr int kLines = 4;
constexpr int kEighths = 8;
constexpr std::size_t kMargin = 9;  // labels and the axis
/// A group that is alive says so three times within its lease, which is two seconds.
constexpr Duration kLongSilence = std::chrono::seconds(1);

/// Batches a second of one way in `width` columns over `span`: the mean of what falls together, and no gap
/// where slots are wider than columns.
std::vector<double> squeeze(const GroupsDemoWay& way, Duration span, std::size_t width) {
  std::vector<double> out(width);
  const double per_second = 1 / to_seconds(GroupsDemoWay::kSlot);
  for (std::size_t column = 0; column < width; ++column) {
    const auto at = [&](std::size_t place) {
      return static_cast<std::size_t>(span * static_cast<std::int64_t>(place) /
                                      static_cast<std::int64_t>(width) / GroupsDemoWay::kSlot);
    };
    const std::size_t first = at(column);
    const std::size_t last = std::min(std::max(first + 1, at(column + 1)), way.timeline.size());
    double sum = 0;
    for (std::size_t slot = first; slot < last; ++slot) sum += static_cast<double>(way.timeline[slot]);
    if (last > first) out[column] = sum * per_second / static_cast<double>(last - first);
  }
  return out;
}

std::string axis(const GroupsDemoWay& way, Duration span, std::size_t width) {
  std::string line;
  const Duration column = span / static_cast<std::int64_t>(width);
  for (std::size_t i = 0; i < width; ++i) {
    const Duration from = column * static_cast<std::int64_t>(i);
    if (from >= way.lasted) break;
    const bool held = std::any_of(way.blocked.begin(), way.blocked.end(), [&](const auto& hold) {
      const Duration end = hold.second == Duration::zero() ? way.lasted : hold.second;
      return hold.first < from + column && end >= from;
    });
    line += held ? "━" : "─";
  }
  return line;
}

std::string head(const GroupsDemoWay& way, const Paint& paint) {
  const auto counted = [&](std::int64_t count, std::string_view what) {
    return paint(count > 0 ? Color::red : Color::green, fmt::format("{} {}", human_count(count), what));
  };
  return fmt::format("{}  {} batches, {}, {}, nothing done for {}", paint(Color::bold, way.name),
                     human_count(way.batches), counted(way.twice, "done twice"),
                     counted(way.refused, "refused"), human_duration(way.standstill));
}

}  // namespace

std::string groups_picture(std::span<const GroupsDemoWay> ways, std::size_t columns, const Paint& paint) {
  Duration span = std::chrono::seconds(1);
  for (const GroupsDemoWay& way : ways) span = std::max(span, way.lasted);
  const std::size_t width = std::clamp<std::size_t>(columns, kMargin + 11, kMargin + 101) - kMargin - 1;
  std::vector<std::vector<double>> rates;
  double most = 1;
  for (const GroupsDemoWay& way : ways) {
    rates.push_back(squeeze(way, span, width));
    most = std::max(most, *std::max_element(rates.back().begin(), rates.back().end()));
  }
  std::string text;
  for (std::size_t i = 0; i < ways.size(); ++i) {
    text += head(ways[i], paint) + "\n";
    for (int line = kLines - 1; line >= 0; --line) {
      std::string bars;
      for (const double rate : rates[i]) {
        const int height =
            rate > 0 ? std::max(1, static_cast<int>(std::lround(rate / most * kLines * kEighths))) : 0;
        bars += kBlocks.at(static_cast<std::size_t>(std::clamp(height - line * kEighths, 0, kEighths)));
      }
      bars.erase(bars.find_last_not_of(' ') + 1);
      const std::string label = line == kLines - 1 ? fmt::format("{:.0f}/s", most) : std::string();
      text += fmt::format("{:>6} │", label) + paint(Color::green, bars) + "\n";
    }
    text += "       └" + axis(ways[i], span, width) + "\n";
  }
  return text;
}

std::string groups_table(std::span<const GroupsDemoWay> ways, const Paint& paint) {
  const auto right = Table::Align::right;
  Table table({{"the same groups"},
               {"batches", right},
               {"done twice", right},
               {"refused", right},
               {"taken away", right},
               {"silence", right},
               {"nothing done", right},
               {"connections", right}});
  const auto bad_if_any = [](std::int64_t count) {
    return Table::Cell(human_count(count), count > 0 ? Color::red : Color::green);
  };
  const auto bad_if_long = [](Duration span) {
    return Table::Cell(human_duration(span), span >= kLongSilence ? Color::red : Color::green);
  };
  for (const GroupsDemoWay& way : ways) {
    table.add({way.name, human_count(way.batches), bad_if_any(way.twice), bad_if_any(way.refused),
               bad_if_any(way.taken), bad_if_long(way.silence), bad_if_long(way.standstill),
               human_count(way.connections)});
  }
  return table.render(paint);
}

}  // namespace weir::cli
