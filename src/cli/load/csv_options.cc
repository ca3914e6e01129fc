#include <fmt/format.h>

#include "base/text.h"
#include "cli/load/options.h"

namespace weir::cli {
namespace {

[[noreturn]] void refuse_character(std::string_view option, std::string_view text) {
  throw Error(ExitCode::usage,
              fmt::format("--{} is '{}', which is not one character", option, printable(text)),
              "Write it as it is, or as tab, semicolon, pipe, comma or space.");
}

/// ";", "tab", "\t"
char read_character(std::string_view option, std::string_view text) {
  struct Word {
    std::string_view word;
    char character;
  };
  for (const Word& known : {Word{"tab", '\t'}, Word{"\\t", '\t'}, Word{"comma", ','}, Word{"semicolon", ';'},
                            Word{"pipe", '|'}, Word{"space", ' '}, Word{"colon", ':'}}) {
    if (known.word == text) return known.character;
  }
  // A character of more than one byte would divide inside of others.
  if (text.size() != 1 || static_cast<unsigned char>(text.front()) >= 0x80) refuse_character(option, text);
  return text.front();
}

}  // namespace

load::CsvChoice read_csv_options(const Arguments& given) {
  load::CsvChoice choice;
  if (const auto text = given.value("delimiter")) choice.delimiter = read_character("delimiter", *text);
  if (const auto text = given.value("quote"))
    choice.quote = *text == "none" ? '\0' : read_character("quote", *text);
  if (given.has("backslash")) choice.backslash = true;
  if (given.has("header") && given.has("no-header")) {
    throw Error(ExitCode::usage, "--header and --no-header contradict each other", "Leave one of them out.");
  }
  if (given.has("header")) choice.header = true;
  if (given.has("no-header")) choice.header = false;
  if (given.has("null")) choice.nulls = given.values("null");
  if (const auto text = given.value("encoding")) choice.encoding = *text;
  if (const auto text = given.value("comment")) choice.comment = read_character("comment", *text);
  choice.trim = given.has("trim");
  if (const auto mebibytes = given.number("max-record", 1, 1024))
    choice.max_record = static_cast<std::size_t>(*mebibytes) << 20U;
  return choice;
}

std::vector<OptionSpec> csv_option_specs() {
  return {
      {"delimiter", 0, "CHAR", "between fields; also tab, semicolon, pipe (default: found out)"},
      {"quote", 0, "CHAR", "around fields, or none (default: found out)"},
      {"backslash", 0, "", "in quotes \\\" is a quote"},
      {"header", 0, "", "the first line names the columns (default: found out)"},
      {"no-header", 0, "", "it does not: they are column_1, column_2, .."},
      {"null", 0, "TEXT", "a field without quotes that says this is null; may be repeated (default: empty)"},
      {"encoding", 0, "NAME", "as iconv calls it (default: found out)"},
      {"comment", 0, "CHAR", "lines that begin with it are passed over"},
      {"trim", 0, "", "blanks around fields are none of them"},
      {"max-record", 0, "MIB", "a longer record is rejected (default: 16)"}};
}

std::vector<OptionSpec> load_option_specs() {
  std::vector<OptionSpec> specs{
      {"into", 0, "TABLE",
       "the table; made where there is none. Of a tap also 'SCHEMA.*': one for each stream"},
      {"mode", 0, "MODE", "append, upsert, window, refresh, scd2, swap or partition-swap (default: refresh)"},
      {"key", 0, "COLUMN,..", "which row a record is; the primary key of a table that is made"},
      {"window", 0, "COLUMN:FROM..TO", "of mode window: these rows are replaced; TO is not one of them"},
      {"partition", 0, "NAME", "of mode partition-swap: this one is replaced"},
      {"schema", 0, "CONTRACT",
       "for new columns and wider types: evolve, freeze, discard or quarantine (default: evolve)"},
      {"columns", 0, "NAME:TYPE,..", "types of a table that is made (default: inferred)"},
      {"dry-run", 0, "", "show the plan with its locks, and change nothing"},
      {"max-rejects", 0, "N|P%", "so many records may be bad (default: 0)"},
      {"allow-empty", 0, "", "a source without records empties the table, or the window"},
      {"max-deletes", 0, "P%", "refuse to delete more of the rows there are (default: 20%)"},
      {"allow-mass-delete", 0, "", "delete as many as it takes"},
      {"reject-duplicates", 0, "",
       "of records with one key all but the last are rejects (default: replaced)"},
      {"not-compared", 0, "COLUMN,..", "a change in these alone is no change"},
      {"staged", 0, "", "append through the stage: checked as a whole, can be resumed"},
      {"restart", 0, "", "read the source from its beginning, also where an earlier load was broken off"},
      {"views", 0, "WORD",
       "of mode swap: recreate those that depend on the table, or refuse (default: recreate)"},
      {"at", 0, "TIME", "of mode scd2: since when the new versions hold (default: now)"},
      {"history-columns", 0, "FROM,TO,..", "of mode scd2 (default: valid_from,valid_to,is_current)"},
      {"format", 0, "FORMAT",
       "csv, tsv, ndjson, json, sqlite, postgres or singer (default: by name and content)"},
      {"singer", 0, "", "the source is what a Singer tap writes; the tap's states come on standard output"},
      {"apply-every", 0, "TIME",
       "of a tap: records wait so long for others (default: 1m; 0s: until a state)"},
      {"soft-delete", 0, "",
       "of a tap: what a new version has not is marked in _sdc_deleted_at, not deleted"},
      {"table", 0, "NAME", "of a source that is a database: this table"},
      {"query", 0, "SQL", "of a source that is a database: what it is asked"},
      {"flatten", 0, "N", "of JSON: objects become columns outer__inner down to N levels (default: 0)"},
      {"sample", 0, "N", "records that types are inferred from (default: 10000)"},
      {"pipeline", 0, "NAME",
       "its state is advanced with the rows: of two loads at once the later is refused"},
      {"stream", 0, "NAME", "the stream of the pipeline; of a Singer tap the one to load"},
      {"state", 0, "JSON", "what the state becomes"},
      {"wait", 0, "TIME", "for another load of the same table (default: 10m)"},
      {"lock-timeout", 0, "TIME", "for rows and the table, each attempt (default: 2s)"},
      {"timeout", 0, "TIME", "of one statement of the apply transaction (default: none)"},
      {"work-mem", 0, "SIZE", "of the apply transaction, such as 256MB (default: the server's)"}};
  for (OptionSpec& spec : csv_option_specs()) specs.push_back(spec);
  return specs;
}

}  // namespace weir::cli
