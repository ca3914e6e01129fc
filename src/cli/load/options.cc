#include "cli/load/options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "base/text.h"

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

bool deletes(Mode mode) { return mode != Mode::append && mode != Mode::upsert; }

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

bool is_number(std::string_view text, double& number) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
}

/// An ISO date, maybe with a time: two of the same length and form are in the order of their characters.
std::string form_of(std::string_view text) {
  std::string form(text);
  for (char& c : form) {
    if (c >= '0' && c <= '9') c = '0';
  }
  return form;
}

/// Whether the bounds are surely no interval. What only the server can compare is left to it.
bool surely_empty(std::string_view from, std::string_view to) {
  double low = 0;
  double high = 0;
  if (is_number(from, low) && is_number(to, high)) return low >= high;
  const std::string form = form_of(from);
  if (form.starts_with("0000-00-00") && form == form_of(to)) return from >= to;
  return from == to;
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
  load::Window window{std::string(trim(std::string_view(text).substr(0, first))),
                      std::string(trim(bounds.substr(0, divide))),
                      std::string(trim(bounds.substr(divide + width)))};
  if (window.column.empty()) bad("its column is missing");
  if (window.from.empty() || window.to.empty()) bad("a bound is missing");
  if (surely_empty(window.from, window.to)) bad("nothing is from its first bound up to its second");
  return window;
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

/// What needs a mode, or is of no use with it.
void check_mode(const Arguments& given, const load::LoadSpec& spec) {
  const std::string_view mode = load::to_string(spec.mode);
  const auto only_with = [&](std::string_view option, bool fits, std::string_view modes) {
    if (given.has(option) && !fits)
      refuse(fmt::format("--{} has no meaning with mode {}", option, mode),
             fmt::format("It is for mode {}. Leave it out, or change --mode.", modes));
  };
  only_with("window", spec.mode == Mode::window, "window");
  only_with("partition", spec.mode == Mode::partition_swap, "partition-swap");
  only_with("at", spec.mode == Mode::scd2, "scd2");
  only_with("history-columns", spec.mode == Mode::scd2, "scd2");
  only_with("views", spec.mode == Mode::swap, "swap");
  only_with("allow-mass-delete", deletes(spec.mode), "window, refresh, scd2, swap and partition-swap");
  only_with("max-deletes", deletes(spec.mode), "window, refresh, scd2, swap and partition-swap");
  // The old row of a rejected record would go with the old table.
  only_with("max-rejects", spec.mode != Mode::swap && spec.mode != Mode::partition_swap,
            "append, upsert, window, refresh and scd2");
  const bool compares = spec.mode == Mode::upsert || spec.mode == Mode::refresh || spec.mode == Mode::scd2;
  only_with("not-compared", compares, "upsert, refresh and scd2");
  if (spec.mode == Mode::window && !spec.window) {
    refuse("mode window needs --window: which rows the source replaces",
           "Add --window COLUMN:FROM..TO, such as --window ts:2026-01-01..2026-02-01.");
  }
  if (spec.mode == Mode::partition_swap && spec.partition.empty())
    refuse("mode partition-swap needs --partition: which one is replaced", "Add --partition NAME.");
  if ((spec.mode == Mode::upsert || spec.mode == Mode::scd2) && spec.key.empty()) {
    refuse(fmt::format("mode {} needs --key: the columns that tell which row a record is", mode),
           "Add --key COLUMN,..; a source without a key can be loaded with mode append or refresh.");
  }
}

void check_keys(const Arguments& given, const load::LoadSpec& spec) {
  if (spec.key.empty() && spec.reject_duplicates)
    refuse("--reject-duplicates needs --key: duplicates of what?", "Add --key COLUMN,..");
  if (spec.key.empty() && !spec.not_compared.empty())
    refuse("--not-compared needs --key", "Without a key whole rows are compared. Add --key COLUMN,..");
  for (const std::string& name : spec.not_compared) {
    if (std::find(spec.key.begin(), spec.key.end(), name) != spec.key.end())
      refuse(fmt::format("{} is in --key and in --not-compared", printable(name)),
             "A key is always compared. Leave it out of --not-compared.");
  }
  if (given.has("allow-mass-delete") && given.has("max-deletes"))
    refuse("--allow-mass-delete and --max-deletes contradict each other", "Leave one of them out.");
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
  check_mode(given, spec);
  check_keys(given, spec);
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

void check_source(const Arguments& given, const load::SourceChoice& source) {
  constexpr std::array<std::string_view, 9> kCsvOnly{
      "delimiter", "quote", "no-header", "header", "backslash", "null", "encoding", "comment", "trim"};
  const std::optional<Format> format = load::said_format(source);
  const bool is_query = format == Format::sqlite || format == Format::postgres;
  const bool is_csv = !format || format == Format::csv || format == Format::tsv;
  const bool is_json = format == Format::ndjson || format == Format::json || format == Format::singer;
  for (const std::string_view option : kCsvOnly) {
    if (given.has(option) && !is_csv) {
      refuse(fmt::format("--{} is about separated values, and the source is {}", option,
                         load::to_string(*format)),
             "Leave it out, or say --format csv.");
    }
  }
  if (given.has("flatten") && format && !is_json) {
    refuse(fmt::format("--flatten is about JSON, and the source is {}", load::to_string(*format)),
           "Leave it out, or say --format ndjson.");
  }
  for (const std::string_view option : {"query", "table"}) {
    if (given.has(option) && !is_query)
      refuse(fmt::format("--{} is for a source that is a database", option),
             "Name one: sqlite:FILE or postgresql://HOST/DATABASE.");
  }
  if (given.has("stream") && given.has("singer") && given.value("stream")->empty())
    refuse("--stream is empty", "Name the stream of the tap.");
  if (!is_query) return;
  if (!source.command.empty() || source.words.size() != 1)
    refuse(fmt::format("a source of {} is one database at a time", load::to_string(*format)));
  const bool said_inside = source.words.front().find("?table=") != std::string::npos;
  if (source.query.empty() && source.table.empty() && !said_inside) {
    refuse("which of its tables?", "Add --table NAME, or --query 'SELECT ..'.");
  }
  if (!source.query.empty() && (!source.table.empty() || said_inside))
    refuse("either --query or a table, not both", "Leave one of them out.");
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
  if (!source.command.empty() && !source.words.empty())
    refuse("either sources or a command behind '--', not both", "Two loads can do it one after the other.");
  if (source.command.empty() && source.words.empty())
    refuse("what is to be loaded?", "Such as: weir load rates.csv --into rates, or - for standard input.");
  if (source.words.size() > 1 &&
      std::find(source.words.begin(), source.words.end(), "-") != source.words.end())
    refuse("standard input is loaded alone", "Leave - or the other sources out.");
  check_source(given, source);
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
  if (options.state && options.pipeline.empty())
    refuse("--state needs --pipeline: whose state?",
           "Add --pipeline NAME, and --stream NAME where it has several.");
  if (options.state && !nlohmann::json::accept(*options.state))
    refuse("--state is no JSON", R"(Such as: --state '{"until": "2026-01-01"}')");
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
    if (std::find(names.begin(), names.end(), name) != names.end())
      refuse(fmt::format("--{} names {} twice", option, printable(name)), "Leave one of them out.");
    names.emplace_back(name);
  }
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
