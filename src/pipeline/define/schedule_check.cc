#include "pipeline/define/schedule_check.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <string_view>
#include <utility>
#include <vector>

#include <cctz/time_zone.h>
#include <fmt/format.h>

#include "pipeline/define/reading.h"
#include "pipeline/time/cron.h"

namespace weir::pipeline {
namespace {

using std::string_view_literals::operator""sv;

constexpr const char* kZoneList = "/usr/share/zoneinfo/tzdata.zi";

/// A name that is looked for among the zones and nowhere else in the file system.
bool is_zone_form(std::string_view zone) noexcept {
  if (zone.empty() || zone.size() > 60 || zone.front() == '/' || zone.find("..") != std::string_view::npos)
    return false;
  return std::all_of(zone.begin(), zone.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '+' || c == '/';
  });
}

bool load_zone(const std::string& name, cctz::time_zone& zone) {
  return is_zone_form(name) && !name.starts_with("localtime") && cctz::load_time_zone(name, &zone);
}

/// Of the system's list: "Z NAME .." and "L TARGET NAME".
std::vector<std::string> all_zones() {
  std::vector<std::string> zones;
  std::ifstream list(kZoneList);
  for (std::string line; std::getline(list, line);) {
    if (!line.starts_with("Z ") && !line.starts_with("L ")) continue;
    const std::size_t begin = line.front() == 'Z' ? 2 : line.find(' ', 2) + 1;
    zones.push_back(line.substr(begin, line.find(' ', begin) - begin));
  }
  return zones;
}

void check_zone(const std::string& name, Diagnostics& diagnostics, const Position& position) {
  cctz::time_zone zone;
  if (load_zone(name, zone)) return;
  const std::vector<std::string> zones = all_zones();
  const std::vector<std::string_view> known(zones.begin(), zones.end());
  std::string remedy = diagnostics.suggest(name, known);
  if (remedy.empty()) remedy = "Names are those of the IANA list, such as Europe/Paris.";
  diagnostics.error(position, fmt::format("there is no time zone {}", in_quotes(name)), std::move(remedy));
}

/// At the character that is wrong; `position` is that of the first one.
void check_cron(std::string_view cron, Diagnostics& diagnostics, Position position) {
  try {
    Cron::parse(cron);
  } catch (const CronError& error) {
    position.column += error.column() - 1;
    diagnostics.error(std::move(position), error.what(), error.remedy());
  }
}

}  // namespace

void check_schedule(const ScheduleDefinition& schedule, Diagnostics& diagnostics,
                    const SchedulePositions& positions) {
  if (!schedule.cron.empty()) check_cron(schedule.cron, diagnostics, positions.cron);
  check_zone(schedule.timezone, diagnostics, positions.timezone);
  if (schedule.start && schedule.end && *schedule.end <= *schedule.start) {
    diagnostics.error(positions.end, "'end' is not behind 'start'");
  }
}

std::optional<WallTime> parse_instant(const std::string& text, const std::string& zone) {
  constexpr std::array kForms{"%Y-%m-%d",          "%Y-%m-%d %H:%M",       "%Y-%m-%dT%H:%M",
                              "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S",    "%Y-%m-%d %H:%M%Ez",
                              "%Y-%m-%dT%H:%M%Ez", "%Y-%m-%d %H:%M:%S%Ez", "%Y-%m-%dT%H:%M:%S%Ez"};
  constexpr std::string_view kShape = "0000-00-00";
  if (text.size() < kShape.size()) return {};
  for (std::size_t at = 0; at < kShape.size(); ++at) {
    const bool digit = text[at] >= '0' && text[at] <= '9';
    if (kShape[at] == '-' ? text[at] != '-' : !digit) return {};
  }
  if (text.find_first_of("\t\n") != std::string::npos || text.find("  ") != std::string::npos) return {};
  cctz::time_zone in = cctz::utc_time_zone();
  if (!load_zone(zone, in)) in = cctz::utc_time_zone();
  for (const char* const form : kForms) {
    cctz::time_point<cctz::seconds> found;
    if (cctz::parse(form, text, in, &found)) return WallTime(found.time_since_epoch());
  }
  return {};
}

}  // namespace weir::pipeline
