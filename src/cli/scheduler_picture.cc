#include "cli/scheduler_picture.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"
#include "cli/term/table.h"

namespace weir::cli {
namespace {

using pipeline::ConnectionFigures;
using pipeline::LookFigures;
using pipeline::SchedulerFigures;
using pipeline::StateFigures;

constexpr auto kRight = Table::Align::right;
constexpr std::int64_t kBar = 30;

Table::Cell bad_if(bool bad, std::string text) { return {std::move(text), bad ? Color::red : Color::green}; }
Table::Cell bad_if_any(std::int64_t count) { return bad_if(count > 0, human_count(count)); }

std::string states_table(const std::vector<StateFigures>& states, const Paint& paint) {
  Table table({{"state of tasks"},
               {"tasks", kRight},
               {"done", kRight},
               {"started twice", kRight},
               {"updates lost", kRight},
               {"runs counted wrong", kRight},
               {"time", kRight}});
  for (const StateFigures& way : states) {
    table.add({way.way, human_count(way.tasks), human_count(way.done), bad_if_any(way.double_starts),
               bad_if_any(way.lost_updates),
               bad_if(way.wrong_runs > 0, fmt::format("{} of {}", way.wrong_runs, way.runs)),
               human_duration(way.span)});
  }
  return table.render(paint);
}

std::string looks_table(const std::vector<LookFigures>& looks, const Paint& paint) {
  Duration longest{1};
  for (const LookFigures& look : looks) longest = std::max(longest, look.took);
  Table table({{"a look for work"}, {"history", kRight}, {"pages", kRight}, {"time", kRight}, {""}});
  for (const LookFigures& look : looks) {
    const std::int64_t length = std::max<std::int64_t>(1, kBar * look.took.count() / longest.count());
    std::string bar;
    for (std::int64_t i = 0; i < length; ++i) bar += "▇";
    table.add({look.way, human_count(look.history), human_count(look.pages), human_duration(look.took),
               Table::Cell(std::move(bar), look.way == "Weir" ? Color::green : Color::red)});
  }
  return table.render(paint);
}

std::string connections_table(const std::vector<ConnectionFigures>& all, const Paint& paint) {
  Table table({{"connections of tasks"},
               {"tasks", kRight},
               {"done", kRight},
               {"gave up", kRight},
               {"waited", kRight},
               {"longest wait", kRight},
               {"idle in transaction", kRight},
               {"connections", kRight},
               {"time", kRight}});
  for (const ConnectionFigures& way : all) {
    table.add({way.way, human_count(way.tasks), human_count(way.done), bad_if_any(way.gave_up),
               bad_if_any(way.waited), human_duration(way.longest_wait), bad_if_any(way.idle_in_transaction),
               bad_if(way.connections > way.budget, fmt::format("{} of {}", way.connections, way.budget)),
               human_duration(way.span)});
  }
  return table.render(paint);
}

}  // namespace

std::string scheduler_picture(const SchedulerFigures& figures, const Paint& paint) {
  std::string text;
  if (!figures.states.empty()) text += states_table(figures.states, paint);
  if (!figures.looks.empty()) text += "\n" + looks_table(figures.looks, paint);
  if (!figures.connections.empty()) text += "\n" + connections_table(figures.connections, paint);
  return text;
}

}  // namespace weir::cli
