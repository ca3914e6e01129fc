#include "cli/load/runs.h"

#include <array>
#include <charconv>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/job_words.h"
#include "cli/term/table.h"

namespace weir::cli {
namespace {

using nlohmann::ordered_json;

/// Of Applied::to_json(), in the order in which people ask for it.
struct SummaryLine {
  const char* key;
  const char* name;
  bool always = false;  // also where it is 0
};
constexpr std::array<SummaryLine, 19> kSummary{{{"inserted", "inserted", true},
                                                {"updated", "updated", true},
                                                {"deleted", "deleted", true},
                                                {"unchanged", "unchanged"},
                                                {"closed", "closed"},
                                                {"duplicates", "duplicates"},
                                                {"withheld_deletes", "rows kept"},
                                                {"discarded_values", "values left out"},
                                                {"rounded_values", "values rounded"},
                                                {"rows_before", "rows before", true},
                                                {"strongest_lock", "strongest lock"},
                                                {"longest_wait_ms", "longest wait ms", true},
                                                {"readers_waited", "readers waited", true},
                                                {"longest_reader_wait_ms", "longest reader ms"},
                                                {"others_waited", "others waited"},
                                                {"longest_other_wait_ms", "longest other ms"},
                                                {"wal_bytes", "WAL bytes"},
                                                {"dead_rows", "dead rows", true},
                                                {"attempts", "attempts"}}};

Color color_of(std::string_view state) {
  if (state == "applied") return Color::green;
  return state == "failed" ? Color::red : Color::yellow;
}

/// A load that was killed could not say that it failed, and one whose source can be read again goes on.
std::string state_text(const load::RunRow& run) {
  if (run.state != "staging" || run.running) return run.state;
  if (run.resumable) return "broken off, resumable";
  return run.error.empty() ? "broken off" : "failed";
}

ordered_json summary_of(const load::RunRow& run) {
  if (run.summary.empty()) return nullptr;
  return ordered_json::parse(run.summary, nullptr, false);
}

/// "+3 ~2 -1", of what the summary counts.
std::string changes_text(const load::RunRow& run) {
  const ordered_json summary = summary_of(run);
  if (!summary.is_object()) return {};
  std::string text;
  for (const auto& [key, sign] : {std::pair{"inserted", "+"}, std::pair{"updated", "~"},
                                  std::pair{"closed", "×"}, std::pair{"deleted", "-"}}) {
    const auto number = summary.value(key, std::int64_t{0});
    if (number != 0) text += fmt::format("{}{}{}", text.empty() ? "" : " ", sign, human_count(number));
  }
  return text.empty() ? "none" : text;
}

/// "price 3, ts 1"
std::string by_column(const ordered_json& counts) {
  std::string text;
  for (const auto& [name, number] : counts.items())
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", printable(name),
                        human_count(number.get<std::int64_t>()));
  return text;
}

std::string took_text(const load::RunRow& run) {
  return run.ended_at ? human_duration(*run.ended_at - run.started_at) : "";
}

/// How RFC 4180 writes it.
std::string field(std::string_view text) {
  if (text.find_first_of("\",\r\n") == std::string_view::npos) return std::string(text);
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

bool is_text(std::string_view raw) { return !find_invalid_utf8(raw); }

}  // namespace

std::int64_t run_number(const Context& context, std::string_view usage) {
  const auto& words = context.arguments.words;
  if (words.size() != 1)
    throw Error(ExitCode::usage, words.empty() ? "which load?" : "one load at a time",
                fmt::format("Write: {}", usage));
  const std::string& word = words.front();
  std::int64_t number = 0;
  const char* const end = word.data() + word.size();
  const auto parsed = std::from_chars(word.data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end || number < 1) {
    throw Error(ExitCode::usage, fmt::format("'{}' is not the number of a load", printable(word)),
                "weir load history shows them.");
  }
  return number;
}

load::RunRow require_run(pg::Session& session, std::int64_t run) {
  if (auto found = load::find_run(session, run)) return std::move(*found);
  throw Error(ExitCode::failed, fmt::format("there is no load {}", run), "weir load history shows them.");
}

std::string runs_text(const std::vector<load::RunRow>& runs, const Paint& paint) {
  const auto right = Table::Align::right;
  Table table({{"run", right},
               {"table"},
               {"mode"},
               {"source"},
               {"state"},
               {"rows"},
               {"rejects", right},
               {"started"},
               {"took", right}});
  for (const load::RunRow& run : runs) {
    table.add({std::to_string(run.id), run.target, run.mode, elide(run.source, 40),
               Table::Cell(state_text(run), color_of(run.state)), changes_text(run), human_count(run.rejects),
               time_text(run.started_at), took_text(run)});
  }
  return table.render(paint);
}

std::string run_text(const load::RunRow& run, const Paint& paint) {
  Table table({{""}, {""}});
  const auto add = [&](const char* what, const std::string& value) {
    if (!value.empty()) table.add({Table::Cell(what, Color::dim), value});
  };
  add("run", std::to_string(run.id));
  add("table", run.target);
  add("mode", run.mode);
  add("source", run.source);
  table.add({Table::Cell("state", Color::dim), Table::Cell(state_text(run), color_of(run.state))});
  add("pipeline", run.pipeline);
  add("stream", run.stream);
  add("started", time_text(run.started_at));
  add("ended", run.ended_at ? time_text(*run.ended_at) : "");
  add("took", took_text(run));
  add("rejects", human_count(run.rejects));
  if (const ordered_json summary = summary_of(run); summary.is_object()) {
    for (const SummaryLine& line : kSummary) {
      if (!summary.contains(line.key)) continue;
      const ordered_json& value = summary[line.key];
      if (value.is_object()) {
        add(line.name, by_column(value));
      } else if (!value.is_number_integer()) {
        add(line.name, value.is_string() ? value.get<std::string>() : value.dump());
      } else if (const auto number = value.get<std::int64_t>(); number != 0 || line.always) {
        add(line.name, number < 0 ? "not known" : human_count(number));
      }
    }
  }
  add("error", run.error);
  return table.render(paint);
}

ordered_json run_json(const load::RunRow& run) {
  return {{"run", id_json(run.id)},
          {"table", run.target},
          {"mode", run.mode},
          {"source", run.source},
          {"state", run.state},
          {"running", run.running},
          {"resumable", run.resumable},
          {"pipeline", run.pipeline.empty() ? ordered_json() : ordered_json(run.pipeline)},
          {"stream", run.stream.empty() ? ordered_json() : ordered_json(run.stream)},
          {"rejects", run.rejects},
          {"started_at", time_json(run.started_at)},
          {"ended_at", time_json(run.ended_at)},
          {"summary", summary_of(run)},
          {"error", run.error.empty() ? ordered_json() : ordered_json(run.error)}};
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t three = 0;
    for (std::size_t k = 0; k < 3; ++k)
      three = three << 8U | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k)
      out += i + k <= bytes.size() ? kDigits[three >> (18U - 6U * k) & 63U] : '=';
  }
  return out;
}

ordered_json reject_json(const load::RejectRow& reject) {
  const bool fits = is_text(reject.raw);
  ordered_json line{{"line", reject.line},
                    {"file", reject.file.empty() ? ordered_json() : ordered_json(reject.file)},
                    {"column", reject.column.empty() ? ordered_json() : ordered_json(reject.column)},
                    {"sqlstate", reject.sqlstate.empty() ? ordered_json() : ordered_json(reject.sqlstate)},
                    {"reason", reject.reason},
                    {"raw", fits ? ordered_json(reject.raw) : ordered_json()}};
  if (!fits) line["raw_base64"] = base64(reject.raw);
  return line;
}

std::string reject_csv(const load::RejectRow& reject) {
  const bool fits = is_text(reject.raw) && reject.raw.find('\0') == std::string::npos;
  return fmt::format("{},{},{},{},{},{},{}\n", reject.line, field(reject.file), field(reject.column),
                     field(reject.sqlstate), field(reject.reason), fits ? field(reject.raw) : "",
                     fits ? "" : base64(reject.raw));
}

}  // namespace weir::cli
