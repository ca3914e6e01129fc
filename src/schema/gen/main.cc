// weir-sqlgen --queries DIR --migrations DIR --out DIR: compiles the SQL of src/schema into C++ during the
// build.

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "schema/gen/emit.h"
#include "schema/gen/migration_file.h"
#include "schema/gen/query_file.h"
#include "schema/gen/sql_lexer.h"

namespace weir::sqlgen {
namespace {

namespace fs = std::filesystem;

struct Arguments {
  fs::path queries;
  fs::path migrations;
  fs::path out;
};

Arguments parse_arguments(int argc, char** argv) {
  std::map<std::string, fs::path> given;
  for (int i = 1; i + 1 < argc; i += 2) given[argv[i]] = argv[i + 1];
  if (argc != 7 || !given.contains("--queries") || !given.contains("--migrations") ||
      !given.contains("--out")) {
    throw Error(ExitCode::usage, "usage: weir-sqlgen --queries DIR --migrations DIR --out DIR");
  }
  return {given["--queries"], given["--migrations"], given["--out"]};
}

std::optional<std::string> read_file(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

/// An unchanged file keeps its time, so that nothing is compiled again.
void write_if_changed(const fs::path& path, const std::string& text) {
  if (read_file(path) == text) return;
  fs::create_directories(path.parent_path());
  std::ofstream stream(path, std::ios::binary | std::ios::trunc);
  stream << text;
  if (!stream.flush()) throw Error(ExitCode::failed, "cannot write " + path.string());
}

std::vector<fs::path> sql_files(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".sql") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// Gives `parse` the text of each file, and turns what it throws into `file:line: message`.
template <class Parse>
void for_each_file(const fs::path& folder, Parse parse) {
  for (const fs::path& path : sql_files(folder)) {
    std::optional<std::string> text = read_file(path);
    if (!text) throw Error(ExitCode::failed, "cannot read " + path.string());
    try {
      parse(path, *text);
    } catch (const SyntaxError& error) {
      throw Error(ExitCode::definition,
                  fmt::format("{}:{}: {}", path.string(), line_of(*text, error.offset), error.message));
    }
  }
}

/// By the name of their file.
using Queries = std::map<std::string, std::vector<QueryDefinition>>;

Queries load_queries(const fs::path& folder) {
  Queries all;
  std::map<std::string, std::string> places;  // by the name in C++
  for_each_file(folder, [&](const fs::path& path, const std::string& text) {
    std::vector<QueryDefinition>& of_file = all[path.stem().string()];
    for (QueryDefinition& query : parse_queries(text)) {
      const std::string place = fmt::format("{}:{}", path.string(), query.line);
      const auto [other, is_new] = places.emplace(query.struct_name(), place);
      if (!is_new) {
        throw Error(ExitCode::definition, fmt::format("{}: a query named {} (in C++ {}) exists already at {}",
                                                      place, query.name, query.struct_name(), other->second));
      }
      of_file.push_back(std::move(query));
    }
  });
  return all;
}

std::vector<MigrationFile> load_migrations(const fs::path& folder) {
  std::vector<MigrationFile> all;
  for_each_file(folder, [&](const fs::path& path, const std::string& text) {
    all.push_back(parse_migration(path.filename().string(), text));
  });
  if (const std::string fault = numbering_fault(all); !fault.empty()) {
    throw Error(ExitCode::definition, fmt::format("{}:1: {}", folder.string(), fault));
  }
  return all;
}

void run(const Arguments& arguments) {
  const std::vector<MigrationFile> migrations = load_migrations(arguments.migrations);
  const fs::path out = arguments.out / "schema";
  std::vector<std::string> files;
  std::vector<QueryDefinition> all;
  for (auto& [file, queries] : load_queries(arguments.queries)) {
    write_if_changed(out / "queries" / (file + ".h"), emit_queries_header(queries));
    files.push_back(file);
    std::move(queries.begin(), queries.end(), std::back_inserter(all));
  }
  write_if_changed(out / "all_queries.h", emit_all_queries_header(files));
  write_if_changed(out / "all_queries.cc", emit_all_queries_source(all));
  write_if_changed(out / "migrations.cc", emit_migrations_source(migrations));
}

}  // namespace
}  // namespace weir::sqlgen

int main(int argc, char** argv) {
  try {
    weir::sqlgen::run(weir::sqlgen::parse_arguments(argc, argv));
    return 0;
  } catch (const weir::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return static_cast<int>(error.exit_code());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "weir-sqlgen: %s\n", error.what());
    return 1;
  }
}
