#include "cli/readers_picture.h"

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

using load::ReadersDemoWay;

/// From the top. Each line begins at the time that it is named after.
struct Decade {
  std::string_view label;
  Color color;
};
constexpr std::array kDecades{Decade{"  1 s", Color::red}, Decade{"100 ms", Color::red},
                              Decade{" 10 ms", Color::yellow}, Decade{"  1 ms", Color::green}};
constexpr std::array<std::string_view, 9> kBlocks{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr std::size_t kMargin = 9;  // labels and the axis
constexpr int kEighths = 8;

/// In eighths of a line, from the bottom; at least one where anybody read.
int height(Duration took) {
  if (took <= Duration::zero()) return 0;
  const double ms = std::chrono::duration<double, std::milli>(took).count();
  return std::clamp(static_cast<int>(std::lround(std::log10(ms) * kEighths)), 1,
                    static_cast<int>(kDecades.size()) * kEighths);
}

/// One way's times, `width` of them over `span`: the worst of what falls together, and no gap where slots are
/// wider than columns.
std::vector<Duration> squeeze(const ReadersDemoWay& way, Duration span, std::size_t width) {
  std::vector<Duration> out(width);
  for (std::size_t column = 0; column < width; ++column) {
    const auto at = [&](std::size_t place) {
      return static_cast<std::size_t>(span * static_cast<std::int64_t>(place) /
                                      static_cast<std::int64_t>(width) / load::demo::ReadFigures::kSlot);
    };
    const std::size_t first = at(column);
    const std::size_t last = std::max(first + 1, at(column + 1));
    for (std::size_t slot = first; slot < std::min(last, way.reads.timeline.size()); ++slot)
      out[column] = std::max(out[column], way.reads.timeline[slot]);
  }
  return out;
}

std::string axis(const ReadersDemoWay& way, Duration span, std::size_t width) {
  std::string line;
  const Duration column = span / static_cast<std::int64_t>(width);
  for (std::size_t i = 0; i < width; ++i) {
    const Duration from = column * static_cast<std::int64_t>(i);
    if (from >= way.lasted) break;
    const bool busy = std::any_of(way.spans.begin(), way.spans.end(), [&](const auto& replacing) {
      const Duration end = replacing.second == Duration::zero() ? way.lasted : replacing.second;
      return replacing.first < from + column && end >= from;
    });
    line += busy ? "━" : "─";
  }
  return line;
}

std::string head(const ReadersDemoWay& way, const Paint& paint) {
  const auto counted = [&](std::int64_t count, std::string_view what) {
    return paint(count > 0 ? Color::red : Color::green, fmt::format("{} {}", human_count(count), what));
  };
  return fmt::format("{}  longest read {}, {}, {}, {}", paint(Color::bold, way.name),
                     human_duration(way.reads.longest), counted(way.reads.waited, "waited for a lock"),
                     counted(way.reads.empty, "empty"), counted(way.reads.mixed, "mixed"));
}

}  // namespace

std::string readers_picture(std::span<const ReadersDemoWay> ways, std::size_t columns, const Paint& paint) {
  Duration span = std::chrono::seconds(1);
  for (const ReadersDemoWay& way : ways) span = std::max(span, way.lasted);
  const std::size_t width = std::clamp<std::size_t>(columns, kMargin + 11, kMargin + 101) - kMargin - 1;
  std::string text;
  for (const ReadersDemoWay& way : ways) {
    text += head(way, paint) + "\n";
    const std::vector<Duration> times = squeeze(way, span, width);
    for (std::size_t line = 0; line < kDecades.size(); ++line) {
      const int below = static_cast<int>(kDecades.size() - 1 - line) * kEighths;
      std::string bars;
      for (const Duration took : times) {
        bars += kBlocks.at(static_cast<std::size_t>(std::clamp(height(took) - below, 0, kEighths)));
      }
      bars.erase(bars.find_last_not_of(' ') + 1);
      text += fmt::format("{:>6} │", kDecades.at(line).label) + paint(kDecades.at(line).color, bars) + "\n";
    }
    text += "       └" + axis(way, span, width) + "\n";
  }
  return text;
}

std::string readers_table(std::span<const ReadersDemoWay> ways, const Paint& paint) {
  const auto right = Table::Align::right;
  Table table({{"replaced by"},
               {"longest read", right},
               {"p99", right},
               {"empty", right},
               {"mixed", right},
               {"waited", right},
               {"took", right},
               {"WAL", right},
               {"growth", right},
               {"strongest lock"}});
  const auto bad_if_any = [](std::int64_t count) {
    return Table::Cell(human_count(count), count > 0 ? Color::red : Color::green);
  };
  const auto bytes = [](std::int64_t count) {
    return (count < 0 ? "-" : "") + human_bytes(static_cast<std::uint64_t>(std::abs(count)));
  };
  for (const ReadersDemoWay& way : ways) {
    const bool exclusive = way.strongest_lock == "ACCESS EXCLUSIVE";
    table.add({way.name, human_duration(way.reads.longest), human_duration(way.reads.p99),
               bad_if_any(way.reads.empty), bad_if_any(way.reads.mixed), bad_if_any(way.reads.waited),
               human_duration(way.replacement), bytes(way.wal_bytes), bytes(way.growth_bytes),
               Table::Cell(way.strongest_lock, exclusive ? Color::red : Color::green)});
  }
  return table.render(paint);
}

}  // namespace weir::cli
