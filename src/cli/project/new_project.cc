#include "cli/project/new_project.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <system_error>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "pipeline/define/names.h"

namespace weir::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kProject =
    R"(# A project of Weir; the pipelines are in pipelines/. Every key: docs/pipelines.md
name: {}

pools:
  default: 4 # so many tasks at a time

history: 30d
)";

constexpr std::string_view kPipeline = R"(description: exchange rates, made up, and what follows from them

schedule:
  every: 1m

defaults:
  timeout: 1m
  retry: {attempts: 3, delay: 5s}

tasks:
  extract:
    run: [sh, extract.sh]

  silver_rates:
    after: extract
    load:
      source: data/rates.csv
      into: silver_rates
      mode: refresh # only the rows that differ are written
      key: [day, pair]

# models/gold_rates.sql is a task, too. It comes after silver_rates, because it refers to it.
)";

constexpr std::string_view kExtract = R"(#!/bin/sh
# Rates of ten days, the same ones each time: in the place of a download.
set -eu
export LC_ALL=C
mkdir -p data
awk 'BEGIN {
  split("EUR/USD EUR/GBP EUR/JPY", pair, " ")
  split("1.08 0.85 160", base, " ")
  print "day,pair,rate"
  for (day = 1; day <= 10; day++)
    for (p = 1; p <= 3; p++)
      printf "2026-01-%02d,%s,%.4f\n", day, pair[p], base[p] * (1 + ((day * 7 + p * 3) % 11 - 5) / 1000)
}' > data/rates.csv.new
mv data/rates.csv.new data/rates.csv
echo "$(wc -l < data/rates.csv) lines"
)";

constexpr std::string_view kModel = R"(/* weir
materialized: table
key: pair
checks:
  - unique: pair
  - not_null: [lowest, highest]
  - sql: select count(*) = 3 from this()
    name: every pair is there
    blocking: false
*/
select pair, min(rate) as lowest, max(rate) as highest, round(avg(rate), 4) as mean, count(*) as days
from ref('silver_rates')
group by pair
)";

constexpr std::string_view kIgnore = ".weir/\npipelines/*/data/\n";
constexpr std::string_view kIgnoreFile = ".gitignore";

[[noreturn]] void throw_cannot_write(const fs::path& path, int error) {
  throw Error(ExitCode::failed, fmt::format("cannot write {}: {}", printable(path.string()),
                                            std::generic_category().message(error)));
}

void write(const fs::path& path, std::string_view text, const char* mode) {
  std::FILE* const file = std::fopen(path.c_str(), mode);
  if (file == nullptr) throw_cannot_write(path, errno);
  const bool whole = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  const bool closed = std::fclose(file) == 0;
  if (!whole || !closed) throw_cannot_write(path, errno);
}

/// What `text` lacks of our lines, on lines of its own.
std::string missing_lines(const std::string& text) {
  std::string missing;
  std::istringstream ours{std::string(kIgnore)};
  for (std::string line; std::getline(ours, line);) {
    if (("\n" + text + "\n").find("\n" + line + "\n") == std::string::npos) missing += line + "\n";
  }
  if (!missing.empty() && !text.empty() && text.back() != '\n') missing.insert(0, 1, '\n');
  return missing;
}

std::string project_name(const fs::path& folder) {
  std::error_code error;
  const std::string name = fs::weakly_canonical(folder, error).filename().string();
  const bool plain = !pipeline::name_fault(name) && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || (c >= '0' && c <= '9');
  });
  return plain ? name : "my-project";
}

}  // namespace

std::vector<NewFile> new_project_files(std::string_view name) {
  return {{"weir.yml", fmt::format(fmt::runtime(kProject), name)},
          {"pipelines/rates/pipeline.yml", std::string(kPipeline)},
          {"pipelines/rates/extract.sh", std::string(kExtract)},
          {"pipelines/rates/models/gold_rates.sql", std::string(kModel)}};
}

std::vector<std::string> write_new_project(const fs::path& folder) {
  const std::vector<NewFile> files = new_project_files(project_name(folder));
  std::error_code error;
  for (const NewFile& file : files) {
    if (!fs::exists(fs::symlink_status(folder / file.path, error))) continue;
    throw Error(ExitCode::refused,
                fmt::format("{} is there already", printable((folder / file.path).string())),
                "Choose another folder: weir init DIR. Nothing was written.");
  }
  std::vector<std::string> written;
  for (const NewFile& file : files) {
    const fs::path path = folder / file.path;
    fs::create_directories(path.parent_path(), error);
    if (error) throw_cannot_write(path.parent_path(), error.value());
    write(path, file.text, "wx");
    written.emplace_back(file.path);
  }
  std::ifstream in(folder / kIgnoreFile, std::ios::binary);
  const std::string ignored{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  const std::string missing = missing_lines(ignored);
  if (!missing.empty()) {
    write(folder / kIgnoreFile, missing, "a");
    written.emplace_back(kIgnoreFile);
  }
  return written;
}

}  // namespace weir::cli
