#include "cli/load/options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"
#include "load/checks.h"

namespace weir::cli {
namespace {

using namespace std::chrono_literals;
using load::Contract;
using load::Format;
using load::Mode;

constexpr const char* kSeeHelp = "See: weir help load";
constexpr std::array kModes{Mode::append, Mode::upsert, Mode::window,        Mode::refresh,
                            Mode::scd2,   Mode::swap,   Mode::partition_swap};
constexpr std::array<std::pair<std::string_view, Contract>, 4> kContracts{
    {{"evolve", Contract::evolve},
     {"freeze", Contract::freeze},
     {"discard", Contract::discard},
     {"quarantine", Contract::quarantine}}};

[[noreturn]] void refuse(const std::string& message, const std::string& remedy = kSeeHelp) {
  throw Error(ExitCode::usage, message, remedy);
}

[[noreturn]] void refuse_word(std::string_view option, std::string_view word,
                              const std::vector<std::string_view>& known) {
  const auto near = closest(word, known);
  refuse(fmt::format("--{} is '{}', which is none of: {}", option, printable(word), fmt::join(known, ", ")),
         near ? fmt::format("Did you mean '{}'?", *near) : kSeeHelp);
}

/// "20%" > 0.2
double read_percent(std::string_view option, const std::string& text) {
  double number = -1;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec != std::errc() || std::string_view(parsed.ptr, end) != "%" ||
      !(number >= 0 && number <= 100)) {
    refuse(fmt::format("--{} is '{}', which is not a share from 0% to 100%", option, printable(text)),
           fmt::format("Write it with its sign: --{} 20%", option));
  }
  return number / 100;
}

/// Splits at commas that are in no parentheses and no quotes: "a:numeric(12,2),b:text".
std::vector<std::string> split_outside(std::string_view text) {
  std::vector<std::string> parts(1);
  int depth = 0;
  bool quoted = false;
  for (const char c : text) {
    if (c == '"') quoted = !quoted;
    if (!quoted && c == '(') ++depth;
    if (!quoted && c == ')') --depth;
    if (c == ',' && depth == 0 && !quoted) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

std::vector<load::SaidColumn> read_columns(std::string_view text) {
  std::vector<load::SaidColumn> columns;
  for (const std::string& part : split_outside(text)) {
    const std::size_t colon = part.find(':');
    const std::string_view name = trim(std::string_view(part).substr(0, colon));
    const std::string_view type =
        colon == std::string::npos ? std::string_view() : trim(std::string_view(part).substr(colon + 1));
    if (name.empty() || type.empty()) {
      refuse(fmt::format("--columns: '{}' is not NAME:TYPE", printable(trim(part))),
             "Write: --columns 'id:int8,amount:numeric(12,2)'. What is not named is inferred.");
    }
    const bool twice =
        std::any_of(columns.begin(), columns.end(), [&](const auto& c) { return c.name == name; });
    if (twice) refuse(fmt::format("--columns names {} twice", printable(name)), "Leave one of them out.");
    columns.push_back({std::string(name), std::string(type)});
  }
  return columns;
}

/// COLUMN:FROM:TO or COLUMN:FROM..TO. Times have colons themselves: of an odd number of them the one in the
/// middle divides.
load::Window read_window(const std::string& text) {
  constexpr const char* kForm =
      "Write COLUMN:FROM..TO (FROM is in, TO is out), such as --window ts:2026-01-01..2026-02-01.";
  const auto bad = [&](std::string_view why) {
    refuse(fmt::format("--window is '{}': {}", printable(text), why), kForm);
  };
  const std::size_t first = text.find(':');
  if (first == std::string::npos) bad("its bounds are missing");
  const std::string_view bounds = std::string_view(text).substr(first + 1);
  std::size_t divide = bounds.find("..");
  std::size_t width = 2;
  if (divide == std::string_view::npos) {
    std::vector<std::size_t> colons;
    for (std::size_t i = 0; i < bounds.size(); ++i) {
      if (bounds[i] == ':') colons.push_back(i);
    }
    if (colons.empty()) bad("its end is missing");
    if (colons.size() % 2 == 0) bad("it does not tell which colon divides the bounds");
    divide = colons[colons.size() / 2];
    width = 1;
  }
  return {std::string(trim(std::string_view(text).substr(0, first))),
          std::string(trim(bounds.substr(0, divide))), std::string(trim(bounds.substr(divide + width)))};
}

void read_history(const Arguments& given, load::LoadSpec& spec) {
  if (const auto names = given.value("history-columns")) {
    const std::vector<std::string> columns = read_names("history-columns", *names);
    if (columns.size() < 2 || columns.size() > 3)
      refuse("--history-columns takes two names or three",
             "Write: --history-columns valid_from,valid_to,is_current");
    spec.history.valid_from = columns[0];
    spec.history.valid_to = columns[1];
    if (columns.size() == 3) spec.history.is_current = columns[2];
  }
  spec.history_at = given.value("at").value_or("");
}

/// Whether the words have the option.
load::Said said_in(const Arguments& given) {
  return [&given](std::string_view option) { return given.has(option); };
}

load::LoadSpec read_spec(const Arguments& given) {
  load::LoadSpec spec;
  spec.mode = read_mode(given.value("mode").value_or("refresh"));
  if (const auto key = given.value("key")) spec.key = read_names("key", *key);
  if (const auto names = given.value("not-compared")) spec.not_compared = read_names("not-compared", *names);
  if (const auto window = given.value("window")) spec.window = read_window(*window);
  spec.partition = given.value("partition").value_or("");
  spec.rejects = read_reject_limit(given);
  if (const auto share = given.value("max-deletes"))
    spec.guard.max_delete_share = read_percent("max-deletes", *share);
  spec.guard.allow_mass_delete = given.has("allow-mass-delete");
  spec.guard.allow_empty = given.has("allow-empty");
  spec.reject_duplicates = given.has("reject-duplicates");
  if (const auto views = given.value("views")) {
    if (*views != "recreate" && *views != "refuse") refuse_word("views", *views, {"recreate", "refuse"});
    spec.recreate_views = *views == "recreate";
  }
  read_history(given, spec);
  load::check_spec(spec, said_in(given));
  return spec;
}

Contract read_contract(const Arguments& given) {
  const std::string word = given.value("schema").value_or("evolve");
  std::vector<std::string_view> known;
  for (const auto& [name, contract] : kContracts) {
    if (name == word) return contract;
    known.push_back(name);
  }
  refuse_word("schema", word, known);
}

load::SourceChoice read_source(const Arguments& given) {
  load::SourceChoice source;
  source.words = given.words;
  source.command = given.rest;
  if (const auto word = given.value("format")) {
    source.format = load::parse_format(*word);
    if (!source.format) refuse_word("format", *word, load::format_words());
  }
  if (given.has("singer")) {
    if (source.format && source.format != Format::singer)
      refuse(fmt::format("--singer and --format {} contradict each other", *given.value("format")));
    source.format = Format::singer;
    // As every target of a tap does.
    if (source.words.empty() && source.command.empty()) source.words.emplace_back("-");
  }
  source.table = given.value("table").value_or("");
  source.query = given.value("query").value_or("");
  source.flatten = static_cast<std::size_t>(given.number("flatten", 0, 32).value_or(0));
  source.csv = read_csv_options(given);
  if (source.format == Format::singer) source.stream = given.value("stream").value_or("");
  load::check_source(source, said_in(given));
  if (given.has("singer") && source.stream.empty() && given.has("stream"))
    refuse("--stream is empty", "Name the stream of the tap.");
  return source;
}

/// A word that was meant as `weir load history` is not taken for a file.
void check_subcommand(const Arguments& given) {
  constexpr std::array<std::string_view, 5> kCommands{"history", "show", "rejects", "replay", "state"};
  if (given.has("into") || given.words.empty()) return;
  const std::string& word = given.words.front();
  if (word.find_first_of("./:*-") != std::string::npos) return;
  if (const auto near = closest(word, kCommands))
    refuse(fmt::format("--into is missing: '{}' into which table?", printable(word)),
           fmt::format("Or did you mean 'weir load {}'?", *near));
}

void read_state_options(const Arguments& given, load::LoadOptions& options) {
  options.pipeline = given.value("pipeline").value_or("");
  options.stream = given.value("stream").value_or("");
  options.state = given.value("state");
  load::check_state(options);
}

}  // namespace

std::vector<std::string> read_names(std::string_view option, std::string_view text) {
  std::vector<std::string> names;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const std::string_view name = trim(text.substr(at, end - at));
    at = end + 1;
    if (name.empty()) {
      refuse(fmt::format("--{} is '{}', where a name is missing", option, printable(text)),
             fmt::format("Write: --{} COLUMN,COLUMN", option));
    }
    names.emplace_back(name);
  }
  load::check_names(option, names);
  return names;
}

load::RejectLimit read_reject_limit(const Arguments& given) {
  load::RejectLimit limit;
  const std::string text = given.value("max-rejects").value_or("0");
  if (text.ends_with('%')) {
    limit.share = read_percent("max-rejects", text);
    return limit;
  }
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, limit.rows);
  if (parsed.ec != std::errc() || parsed.ptr != end || limit.rows < 0) {
    refuse(fmt::format("--max-rejects is '{}', which is neither a number of records nor a share",
                       printable(text)),
           "Write --max-rejects 100, or --max-rejects 0.5%.");
  }
  return limit;
}

load::Mode read_mode(std::string_view word) {
  if (const auto mode = load::parse_mode(word)) return *mode;
  // What other tools call it.
  constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kElsewhere{
      {{"merge", "upsert"},
       {"replace", "refresh"},
       {"full-refresh", "refresh"},
       {"overwrite", "refresh"},
       {"truncate", "refresh"},
       {"insert", "append"}}};
  for (const auto& [theirs, ours] : kElsewhere) {
    if (word == theirs)
      refuse(fmt::format("there is no mode '{}'", word), fmt::format("It is called {} here.", ours));
  }
  std::vector<std::string_view> known;
  known.reserve(kModes.size());
  for (const Mode mode : kModes) known.push_back(load::to_string(mode));
  refuse_word("mode", word, known);
}

LoadRequest read_load_options(const Arguments& given) {
  check_subcommand(given);
  LoadRequest request;
  request.source = read_source(given);
  load::LoadOptions& options = request.options;
  const auto into = given.value("into");
  if (!into || into->empty()) refuse("--into is missing: into which table?", "Add --into TABLE.");
  options.target = *into;
  if (request.source.format == Format::singer) {
    read_tap_options(given, request);
  } else {
    for (const std::string_view option : {"apply-every", "soft-delete"}) {
      if (given.has(option))
        refuse(fmt::format("--{} is about Singer taps", option), "Leave it out, or add --singer.");
    }
    load::parse_table_name(options.target);
  }
  options.spec = read_spec(given);
  options.contract = read_contract(given);
  if (const auto columns = given.value("columns")) options.columns = read_columns(*columns);
  read_state_options(given, options);
  options.staged = given.has("staged");
  options.dry_run = given.has("dry-run");
  constexpr int kMostSampled = 10'000'000;
  if (const auto rows = given.number("sample", 1, kMostSampled))
    options.sample_rows = static_cast<std::size_t>(*rows);
  load::ApplyOptions& apply = options.apply;
  apply.lock_timeout = given.duration("lock-timeout", 1ms, 24h).value_or(apply.lock_timeout);
  apply.target_wait = given.duration("wait", 0s, 24h).value_or(apply.target_wait);
  apply.statement_timeout = given.duration("timeout", 1s, 24h * 30).value_or(apply.statement_timeout);
  apply.work_mem = given.value("work-mem").value_or("");
  return request;
}

}  // namespace weir::cli
