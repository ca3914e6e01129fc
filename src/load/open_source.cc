#include "load/open_source.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include <sys/stat.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/text.h"
#include "load/read/byte_source.h"
#include "load/read/csv_reader.h"
#include "load/read/json_inputs.h"
#include "load/read/postgres_reader.h"
#include "load/read/sqlite_reader.h"
#include "pg/connector.h"
#include "pg/conninfo.h"

namespace weir::load {
namespace {

constexpr std::array<std::pair<std::string_view, Format>, 7> kFormats{{{"csv", Format::csv},
                                                                       {"tsv", Format::tsv},
                                                                       {"ndjson", Format::ndjson},
                                                                       {"json", Format::json},
                                                                       {"sqlite", Format::sqlite},
                                                                       {"postgres", Format::postgres},
                                                                       {"singer", Format::singer}}};
constexpr std::array<std::pair<std::string_view, Format>, 9> kEndings{{{".csv", Format::csv},
                                                                       {".tsv", Format::tsv},
                                                                       {".tab", Format::tsv},
                                                                       {".ndjson", Format::ndjson},
                                                                       {".jsonl", Format::ndjson},
                                                                       {".json", Format::json},
                                                                       {".sqlite", Format::sqlite},
                                                                       {".sqlite3", Format::sqlite},
                                                                       {".db", Format::sqlite}}};
constexpr std::string_view kSqliteScheme = "sqlite:";
constexpr std::string_view kSqliteMark{"SQLite format 3\0", 16};
/// Enough to tell a format by; a pipe whose writer is slow has that much soon.
constexpr std::size_t kLook = 64;

bool is_postgres_url(std::string_view word) {
  return word.starts_with("postgresql://") || word.starts_with("postgres://");
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

std::optional<Format> format_of_name(std::string_view name) {
  if (is_postgres_url(name)) return Format::postgres;
  if (name.starts_with(kSqliteScheme)) return Format::sqlite;
  std::string ending = lower(name);
  for (const std::string_view packed : {".gz", ".zst", ".zstd"}) {
    if (ending.ends_with(packed)) ending.resize(ending.size() - packed.size());
  }
  for (const auto& [known, format] : kEndings) {
    if (ending.ends_with(known)) return format;
  }
  return std::nullopt;
}

/// By the first bytes of what has no name that tells.
Format format_of_bytes(std::string_view head) {
  if (head.starts_with(kSqliteMark)) return Format::sqlite;
  if (head.starts_with("\xEF\xBB\xBF")) head.remove_prefix(3);
  head = trim(head);
  if (head.starts_with('{')) return Format::ndjson;
  return head.starts_with('[') ? Format::json : Format::csv;
}

std::vector<Input> inputs_of(const SourceChoice& choice) {
  if (!choice.command.empty()) {
    std::vector<Input> one;
    exec::Command command;
    command.argv = choice.command;
    command.cwd = choice.command_folder;
    command.env = choice.command_env;
    one.push_back(command_input(std::move(command)));
    return one;
  }
  std::vector<Input> all;
  for (const std::string& word : choice.words) {
    if (word == "-") {
      all.push_back(standard_input());
      continue;
    }
    for (Input& input : file_inputs(word)) all.push_back(std::move(input));
  }
  return all;
}

/// What tells whether a file is still the one it was. Its time can be set back, that of its last change of
/// any kind cannot.
std::string stamp_of(const std::string& path) {
  struct stat facts {};
  if (::stat(path.c_str(), &facts) != 0 || !S_ISREG(facts.st_mode)) return {};
  return fmt::format("{}:{}:{}.{:09}:{}.{:09}:{}", path, facts.st_size, facts.st_mtim.tv_sec,
                     facts.st_mtim.tv_nsec, facts.st_ctim.tv_sec, facts.st_ctim.tv_nsec, facts.st_ino);
}

std::string fingerprint_of(const std::vector<Input>& inputs, const SourceChoice& choice, Format format) {
  if (!choice.command.empty()) return {};
  std::string print = fmt::format("{} {}", to_string(format), choice.flatten);
  for (const Input& input : inputs) {
    const std::string stamp = stamp_of(input.name);
    if (stamp.empty()) return {};
    print += " " + stamp;
  }
  const CsvChoice& csv = choice.csv;
  const auto number = [](const auto& value) { return value ? static_cast<int>(*value) : -1; };
  print += fmt::format(" {} {} {} {} {} {} {} {}", number(csv.delimiter), number(csv.quote),
                       number(csv.backslash), number(csv.header), csv.encoding.value_or("-"),
                       static_cast<int>(csv.comment), csv.trim, csv.max_record.value_or(0));
  if (csv.nulls) print += fmt::format(" {}", fmt::join(*csv.nulls, "\x1f"));
  return print;
}

/// Looks at the first bytes of the first input, which is read once all the same.
Format look_inside(std::vector<Input>& inputs, const std::stop_token& stop) {
  std::unique_ptr<ByteSource> source = inputs.front().open(stop);
  std::string head = read_head(*source, kLook);
  const Format format = format_of_bytes(head);
  const auto opened =
      std::make_shared<std::unique_ptr<ByteSource>>(with_head(std::move(head), std::move(source)));
  inputs.front().open = [opened](const std::stop_token&) { return std::move(*opened); };
  return format;
}

[[noreturn]] void refuse_database(const SourceChoice& choice) {
  throw Error(ExitCode::usage,
              fmt::format("{} is an SQLite database: which of its tables?", source_label(choice)),
              "Add --format sqlite, and --table NAME or --query 'SELECT ..'. It has to be a file, unpacked.");
}

/// "sqlite:FILE?table=NAME", "sqlite:///FILE", "FILE".
OpenedSource open_sqlite(const SourceChoice& choice) {
  std::string file = choice.words.front();
  std::string table = choice.table;
  if (file.starts_with(kSqliteScheme)) file.erase(0, kSqliteScheme.size());
  if (file.starts_with("//")) file.erase(0, 2);
  if (const std::size_t at = file.find("?table="); at != std::string::npos) {
    table = file.substr(at + std::strlen("?table="));
    file.resize(at);
  }
  const std::string query = choice.query.empty() ? SqliteReader::query_of_table(table) : choice.query;
  OpenedSource opened{.reader = std::make_unique<SqliteReader>(file, query),
                      .format = Format::sqlite,
                      .label = fmt::format("{}{}", file, choice.query.empty() ? " " + table : " (query)"),
                      .fingerprint = stamp_of(file)};
  // What was written last is in the log beside it.
  if (!opened.fingerprint.empty())
    opened.fingerprint += fmt::format(" {} {}", stamp_of(file + "-wal"), query);
  return opened;
}

OpenedSource open_postgres(const SourceChoice& choice, const std::stop_token& stop) {
  pg::Connector::Options options;
  options.require_primary = false;
  options.users_search_path = true;
  const pg::Connector connector(pg::Conninfo::parse(choice.words.front()), options);
  pg::Session session = connector.connect(pg::Role::load, "source", {.stop = stop});
  session.set_stop(stop);
  const std::string query =
      choice.query.empty() ? PostgresReader::query_of_table(choice.table) : choice.query;
  return {.reader = std::make_unique<PostgresReader>(std::move(session), query, choice.settings),
          .format = Format::postgres,
          .label = fmt::format("{}{}", source_label(choice),
                               choice.query.empty() ? " " + choice.table : " (query)"),
          .fingerprint = {}};
}

OpenedSource open_once(const SourceChoice& choice, const std::stop_token& stop) {
  OpenedSource opened{.reader = nullptr, .label = source_label(choice), .fingerprint = {}};
  std::optional<Format> format = said_format(choice);
  if (format == Format::sqlite) return open_sqlite(choice);
  if (format == Format::postgres) return open_postgres(choice, stop);
  std::vector<Input> inputs = inputs_of(choice);
  if (!format) format = look_inside(inputs, stop);
  if (format == Format::sqlite) refuse_database(choice);
  opened.format = *format;
  opened.fingerprint = fingerprint_of(inputs, choice, *format);
  CsvChoice csv = choice.csv;
  if (format == Format::tsv && !csv.delimiter) csv.delimiter = '\t';
  switch (*format) {
    case Format::csv:
    case Format::tsv:
      opened.reader = std::make_unique<CsvReader>(std::move(inputs), std::move(csv), stop);
      break;
    case Format::ndjson:
    case Format::json:
      opened.reader = std::make_unique<JsonInputs>(
          std::move(inputs),
          JsonOptions{.shape = format == Format::ndjson ? JsonShape::lines : JsonShape::automatic,
                      .flatten = choice.flatten,
                      .max_record_bytes = choice.csv.max_record.value_or(JsonOptions().max_record_bytes)},
          stop);
      break;
    default:
      throw Error(ExitCode::usage, fmt::format("a source of {} cannot be opened here", to_string(*format)));
  }
  return opened;
}

}  // namespace

std::string_view to_string(Format format) noexcept {
  for (const auto& [word, known] : kFormats) {
    if (known == format) return word;
  }
  return "unknown";
}

std::optional<Format> parse_format(std::string_view word) noexcept {
  for (const auto& [known, format] : kFormats) {
    if (known == word) return format;
  }
  return std::nullopt;
}

std::vector<std::string_view> format_words() {
  std::vector<std::string_view> words;
  words.reserve(kFormats.size());
  for (const auto& [word, format] : kFormats) words.push_back(word);
  return words;
}

std::optional<Format> said_format(const SourceChoice& choice) {
  if (choice.format) return choice.format;
  if (!choice.command.empty() || choice.words.empty()) return std::nullopt;
  return format_of_name(choice.words.front());
}

std::string source_label(const SourceChoice& choice) {
  if (!choice.command.empty()) return fmt::format("{}", fmt::join(choice.command, " "));
  if (choice.words.size() == 1 && is_postgres_url(choice.words.front()))
    return pg::Conninfo::parse(choice.words.front()).display();
  if (choice.words.size() == 1 && choice.words.front() == "-") return "standard input";
  return fmt::format("{}", fmt::join(choice.words, " "));
}

std::unique_ptr<ByteSource> open_bytes(const SourceChoice& choice, const std::stop_token& stop) {
  std::vector<Input> inputs = inputs_of(choice);
  if (inputs.size() != 1) {
    throw Error(ExitCode::usage,
                fmt::format("{} is {} files: a tap is one", source_label(choice), inputs.size()),
                "Load them one after the other.");
  }
  return inputs.front().open(stop);
}

OpenedSource open_source(const SourceChoice& choice, const std::stop_token& stop) {
  OpenedSource opened = open_once(choice, stop);
  if (!opened.fingerprint.empty())
    opened.reopen = [choice, stop] { return std::move(open_once(choice, stop).reader); };
  return opened;
}

}  // namespace weir::load
