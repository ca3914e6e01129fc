#include "pipeline/time/zone.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include <cctz/civil_time.h>
#include <cctz/time_zone.h>
#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"

namespace weir::pipeline {

struct Zone::Data {
  std::string name;
  cctz::time_zone zone;
};

namespace {

namespace fs = std::filesystem;

constexpr const char* kDatabase = "/usr/share/zoneinfo";

cctz::time_point<cctz::seconds> to_cctz(Instant at) {
  return cctz::time_point<cctz::seconds>(cctz::seconds(at.time_since_epoch().count()));
}
Instant from_cctz(cctz::time_point<cctz::seconds> at) {
  return Instant(std::chrono::seconds(at.time_since_epoch().count()));
}
cctz::civil_second to_civil(LocalTime time) { return cctz::civil_second() + time.time_since_epoch().count(); }
LocalTime from_civil(cctz::civil_second civil) {
  return LocalTime(std::chrono::seconds(civil - cctz::civil_second()));
}

/// cctz opens whatever file a name leads to, and knows names of its own; only those of the database are
/// meant.
bool is_plain(std::string_view name) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '+' || c == '-' || c == '/';
  };
  return !name.empty() && name.front() != '/' && std::all_of(name.begin(), name.end(), plain) &&
         name != "localtime" && name != "posixrules" && !name.starts_with("right/") &&
         !name.starts_with("posix/");
}

fs::path database() {
  const char* const folder = std::getenv("TZDIR");
  return folder == nullptr || *folder == '\0' ? kDatabase : folder;
}

std::vector<std::string> known_names(const fs::path& folder) {
  std::vector<std::string> names{"UTC"};
  std::error_code failure;
  for (fs::recursive_directory_iterator entry(folder, failure), end; !failure && entry != end;
       entry.increment(failure)) {
    const std::string name = entry->path().lexically_relative(folder).string();
    if (name == "right" || name == "posix") entry.disable_recursion_pending();
    // Zones begin with a capital letter; tables that lie beside them do not.
    else if (is_plain(name) && name.front() >= 'A' && name.front() <= 'Z' && entry->is_regular_file(failure))
      names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

/// Another case, a blank for an underscore, a city without its continent, or a slip of the fingers.
std::optional<std::string> suggestion(std::string_view name, const std::vector<std::string>& names) {
  std::string wanted = lower(name);
  std::replace(wanted.begin(), wanted.end(), ' ', '_');
  for (const std::string& known : names)
    if (lower(known) == wanted) return known;
  for (const std::string& known : names)
    if (lower(known).ends_with("/" + wanted)) return known;
  std::vector<std::string> lowered;
  lowered.reserve(names.size());
  for (const std::string& known : names) lowered.push_back(lower(known));
  const std::vector<std::string_view> views(lowered.begin(), lowered.end());
  const auto near = closest(wanted, views);
  if (!near) return std::nullopt;
  return names.at(static_cast<std::size_t>(std::find(views.begin(), views.end(), *near) - views.begin()));
}

[[noreturn]] void throw_unknown(std::string_view name) {
  const auto folder = database();
  const auto names = known_names(folder);
  if (names.size() < 2) {
    throw Error(
        ExitCode::definition,
        fmt::format("time zone '{}': this machine has no time zones in {}", printable(name), folder.string()),
        "Install the package tzdata, or use UTC.");
  }
  const auto guess = suggestion(name, names);
  throw Error(ExitCode::definition, fmt::format("time zone '{}' is not known", elide(printable(name), 100)),
              guess ? fmt::format("Did you mean {}?", *guess)
                    : "It is a name of the IANA database, such as Europe/Berlin or UTC.");
}

}  // namespace

Zone Zone::load(std::string_view name) {
  auto data = std::make_shared<Data>();
  data->name = std::string(name);
  if (!is_plain(name) || !cctz::load_time_zone(data->name, &data->zone)) throw_unknown(name);
  return Zone(std::move(data));
}

const std::string& Zone::name() const noexcept { return data_->name; }

LocalTime Zone::to_local(Instant at) const { return from_civil(data_->zone.lookup(to_cctz(at)).cs); }

Offset Zone::offset(Instant at) const { return Offset(data_->zone.lookup(to_cctz(at)).offset); }

std::string Zone::abbreviation(Instant at) const { return data_->zone.lookup(to_cctz(at)).abbr; }

Meaning Zone::resolve(LocalTime time) const {
  using Civil = cctz::time_zone::civil_lookup;
  const Civil found = data_->zone.lookup(to_civil(time));
  if (found.kind == Civil::SKIPPED)
    return {Meaning::Kind::skipped, from_cctz(found.trans), from_cctz(found.trans)};
  const auto kind = found.kind == Civil::REPEATED ? Meaning::Kind::repeated : Meaning::Kind::unique;
  return {kind, from_cctz(found.pre), from_cctz(found.post)};
}

std::optional<Change> Zone::next_change(Instant at) const {
  for (Instant from = at;;) {
    cctz::time_zone::civil_transition change;
    if (!data_->zone.next_transition(to_cctz(from), &change)) return std::nullopt;
    // Up to the change the offset is the one of now, so its instant needs no look-up of a local time, which
    // might mean several.
    const Offset before = offset(from);
    const Instant when(from_civil(change.from).time_since_epoch() - before);
    const Offset after = offset(when);
    if (before != after) return Change{when, before, after};
    from = when;  // only a new name
  }
}

}  // namespace weir::pipeline
