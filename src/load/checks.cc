#include "load/checks.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"
#include "load/write/target.h"

namespace weir::load {
namespace {

constexpr std::array<std::string_view, 9> kCsvOnly{
    "delimiter", "quote", "no-header", "header", "backslash", "null", "encoding", "comment", "trim"};
/// What a tap says itself, or what only a source has that can be read again.
constexpr std::array<std::string_view, 16> kNotOfTaps{
    "mode",    "key",     "window",          "partition",
    "columns", "dry-run", "staged",          "restart",
    "state",   "at",      "history-columns", "views",
    "query",   "table",   "not-compared",    "reject-duplicates"};

constexpr std::size_t kMostFlattened = 32;

[[noreturn]] void mistake(const std::string& message, const std::string& remedy = "See: weir help load") {
  throw Error(ExitCode::usage, message, remedy);
}

bool takes_rows_away(Mode mode) { return mode != Mode::append && mode != Mode::upsert; }
bool is_share(double share) { return share >= 0 && share <= 1; }

bool read_number(std::string_view text, double& number) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
}

/// An ISO date, maybe with a time: two of the same length and form are in the order of their characters.
std::string form_of_bound(std::string_view text) {
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
  if (read_number(from, low) && read_number(to, high)) return low >= high;
  const std::string form = form_of_bound(from);
  if (form.starts_with("0000-00-00") && form == form_of_bound(to)) return from >= to;
  return from == to;
}

/// What needs a mode, or is of no use with it.
void check_modes(const LoadSpec& spec, const Said& said) {
  const std::string_view mode = to_string(spec.mode);
  const auto only_with = [&](std::string_view option, bool fits, std::string_view modes) {
    if (said(option) && !fits)
      mistake(fmt::format("--{} has no meaning with mode {}", option, mode),
              fmt::format("It is for mode {}. Leave it out, or change --mode.", modes));
  };
  only_with("window", spec.mode == Mode::window, "window");
  only_with("partition", spec.mode == Mode::partition_swap, "partition-swap");
  only_with("at", spec.mode == Mode::scd2, "scd2");
  only_with("history-columns", spec.mode == Mode::scd2, "scd2");
  only_with("views", spec.mode == Mode::swap, "swap");
  only_with("allow-mass-delete", takes_rows_away(spec.mode),
            "window, refresh, scd2, swap and partition-swap");
  only_with("max-deletes", takes_rows_away(spec.mode), "window, refresh, scd2, swap and partition-swap");
  // The old row of a rejected record would go with the old table.
  only_with("max-rejects", spec.mode != Mode::swap && spec.mode != Mode::partition_swap,
            "append, upsert, window, refresh and scd2");
  const bool compares = spec.mode == Mode::upsert || spec.mode == Mode::refresh || spec.mode == Mode::scd2;
  only_with("not-compared", compares, "upsert, refresh and scd2");
  if (spec.mode == Mode::window && !spec.window) {
    mistake("mode window needs --window: which rows the source replaces",
            "Add --window COLUMN:FROM..TO, such as --window ts:2026-01-01..2026-02-01.");
  }
  if (spec.mode == Mode::partition_swap && spec.partition.empty())
    mistake("mode partition-swap needs --partition: which one is replaced", "Add --partition NAME.");
  if ((spec.mode == Mode::upsert || spec.mode == Mode::scd2) && spec.key.empty()) {
    mistake(fmt::format("mode {} needs --key: the columns that tell which row a record is", mode),
            "Add --key COLUMN,..; a source without a key can be loaded with mode append or refresh.");
  }
}

void check_keys(const LoadSpec& spec) {
  check_names("key", spec.key);
  check_names("not-compared", spec.not_compared);
  if (spec.key.empty() && spec.reject_duplicates)
    mistake("--reject-duplicates needs --key: duplicates of what?", "Add --key COLUMN,..");
  if (spec.key.empty() && !spec.not_compared.empty())
    mistake("--not-compared needs --key", "Without a key whole rows are compared. Add --key COLUMN,..");
  for (const std::string& name : spec.not_compared) {
    if (std::find(spec.key.begin(), spec.key.end(), name) != spec.key.end())
      mistake(fmt::format("{} is in --key and in --not-compared", printable(name)),
              "A key is always compared. Leave it out of --not-compared.");
  }
}

void check_limits(const LoadSpec& spec, const Said& said) {
  if (said("allow-mass-delete") && said("max-deletes"))
    mistake("--allow-mass-delete and --max-deletes contradict each other", "Leave one of them out.");
  if (!is_share(spec.guard.max_delete_share))
    mistake(
        fmt::format("--max-deletes is {}, which is not a share from 0 to 1", spec.guard.max_delete_share));
  if (spec.rejects.rows < 0 || !is_share(spec.rejects.share.value_or(0)))
    mistake("--max-rejects is neither a number of records nor a share from 0 to 1");
}

}  // namespace

bool is_said(const SourceChoice& source, const LoadOptions& options, std::string_view option) {
  const CsvChoice& csv = source.csv;
  const LoadSpec& spec = options.spec;
  const std::array<std::pair<std::string_view, bool>, 28> all{
      {{"delimiter", csv.delimiter.has_value()},
       {"quote", csv.quote.has_value()},
       {"header", csv.header.value_or(false)},
       {"no-header", !csv.header.value_or(true)},
       {"backslash", csv.backslash.has_value()},
       {"null", csv.nulls.has_value()},
       {"encoding", csv.encoding.has_value()},
       {"comment", csv.comment != 0},
       {"trim", csv.trim},
       {"flatten", source.flatten > 0},
       {"query", !source.query.empty()},
       {"table", !source.table.empty()},
       {"mode", spec.mode != LoadSpec().mode},
       {"key", !spec.key.empty()},
       {"window", spec.window.has_value()},
       {"partition", !spec.partition.empty()},
       {"at", !spec.history_at.empty()},
       {"history-columns", spec.history != HistoryColumns()},
       {"views", !spec.recreate_views},
       {"allow-mass-delete", spec.guard.allow_mass_delete},
       {"max-deletes", spec.guard.max_delete_share != Guard().max_delete_share},
       {"max-rejects", spec.rejects.allows_any()},
       {"not-compared", !spec.not_compared.empty()},
       {"reject-duplicates", spec.reject_duplicates},
       {"columns", !options.columns.empty()},
       {"dry-run", options.dry_run},
       {"staged", options.staged},
       {"state", options.state.has_value()}}};
  return std::any_of(all.begin(), all.end(),
                     [option](const auto& one) { return one.first == option && one.second; });
}

void check_names(std::string_view option, const std::vector<std::string>& names) {
  for (auto name = names.begin(); name != names.end(); ++name) {
    if (name->empty()) mistake(fmt::format("--{}: a name is missing", option), "Leave it out, or name it.");
    if (std::find(names.begin(), name, *name) != name)
      mistake(fmt::format("--{} names {} twice", option, printable(*name)), "Leave one of them out.");
  }
}

void check_source(const SourceChoice& source, const Said& said) {
  if (!source.command.empty() && !source.words.empty())
    mistake("either sources or a command behind '--', not both", "Two loads can do it one after the other.");
  if (source.command.empty() && source.words.empty())
    mistake("what is to be loaded?", "Such as: weir load rates.csv --into rates, or - for standard input.");
  if (source.words.size() > 1 &&
      std::find(source.words.begin(), source.words.end(), "-") != source.words.end())
    mistake("standard input is loaded alone", "Leave - or the other sources out.");
  const std::optional<Format> format = said_format(source);
  const bool is_query = format == Format::sqlite || format == Format::postgres;
  const bool is_csv = !format || format == Format::csv || format == Format::tsv;
  const bool is_json = format == Format::ndjson || format == Format::json || format == Format::singer;
  for (const std::string_view option : kCsvOnly) {
    if (said(option) && !is_csv) {
      mistake(fmt::format("--{} is about separated values, and the source is {}", option, to_string(*format)),
              "Leave it out, or say --format csv.");
    }
  }
  if (source.flatten > kMostFlattened)
    mistake(fmt::format("--flatten is {}, and {} levels are the most", source.flatten, kMostFlattened));
  if (said("flatten") && format && !is_json) {
    mistake(fmt::format("--flatten is about JSON, and the source is {}", to_string(*format)),
            "Leave it out, or say --format ndjson.");
  }
  for (const std::string_view option : {"query", "table"}) {
    if (said(option) && !is_query)
      mistake(fmt::format("--{} is for a source that is a database", option),
              "Name one: sqlite:FILE or postgresql://HOST/DATABASE.");
  }
  if (!is_query) return;
  if (!source.command.empty() || source.words.size() != 1)
    mistake(fmt::format("a source of {} is one database at a time", to_string(*format)));
  const bool said_inside = source.words.front().find("?table=") != std::string::npos;
  if (source.query.empty() && source.table.empty() && !said_inside)
    mistake("which of its tables?", "Add --table NAME, or --query 'SELECT ..'.");
  if (!source.query.empty() && (!source.table.empty() || said_inside))
    mistake("either --query or a table, not both", "Leave one of them out.");
}

void check_window(const Window& window) {
  const auto bad = [&](std::string_view why) {
    mistake(fmt::format("--window is '{}:{}..{}': {}", printable(window.column), printable(window.from),
                        printable(window.to), why),
            "Write COLUMN:FROM..TO (FROM is in, TO is out), such as --window ts:2026-01-01..2026-02-01.");
  };
  if (window.column.empty()) bad("its column is missing");
  if (window.from.empty() || window.to.empty()) bad("a bound is missing");
  if (surely_empty(window.from, window.to)) bad("nothing is from its first bound up to its second");
}

void check_spec(const LoadSpec& spec, const Said& said) {
  if (spec.window) check_window(*spec.window);
  check_modes(spec, said);
  check_keys(spec);
  check_limits(spec, said);
}

void check_patience(const ApplyOptions& options) {
  // To the server a lock_timeout of 0 is no limit: a load would hang behind one open transaction.
  if (options.lock_timeout < std::chrono::milliseconds(1))
    mistake("--lock-timeout is less than 1 ms", "A lock is waited for at least that long.");
  if (options.target_wait < Duration::zero())
    mistake("--wait is less than nothing", "0 does not wait for another load.");
  if (options.statement_timeout < Duration::zero())
    mistake("--timeout is less than nothing", "0 is no limit.");
}

void check_state(const LoadOptions& options) {
  if (!options.state) return;
  if (options.pipeline.empty())
    mistake("--state needs --pipeline: whose state?",
            "Add --pipeline NAME, and --stream NAME where it has several.");
  if (!nlohmann::json::accept(*options.state))
    mistake("--state is no JSON", R"(Such as: --state '{"until": "2026-01-01"}')");
}

void check_tap(const SourceChoice& source, const std::string& into, const Said& said) {
  for (const std::string_view option : kNotOfTaps) {
    if (said(option)) {
      mistake(fmt::format("--{} has no meaning with --singer", option),
              "A tap says itself what its keys and types are, and which rows it replaces. Leave it out.");
    }
  }
  if (source.words.size() > 1) mistake("a tap is one source", "Load files one after the other.");
  if (!into.ends_with('*')) {
    parse_table_name(into);
    return;
  }
  const std::string schema = into.substr(0, into.size() - 1);
  if (schema.empty()) return;
  if (!schema.ends_with('.') || schema.size() == 1) {
    mistake(fmt::format("--into is '{}'", printable(into)),
            "For a table of each stream write 'SCHEMA.*', or '*'.");
  }
  parse_table_name(schema + "x");
}

}  // namespace weir::load
