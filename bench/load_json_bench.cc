#include <algorithm>

#include <fmt/format.h>

#include "load/read/json_reader.h"
#include "suites.h"

namespace weir::bench {
namespace {

constexpr std::uint64_t kRecords = 1000000;
constexpr int kRounds = 5;
constexpr double kMegabyte = 1e6;
constexpr double kTarget = 250;

std::string sample() {
  std::string text;
  for (std::uint64_t i = 0; i < kRecords; ++i) {
    text += fmt::format(
        R"({{"id":{},"at":"2026-11-{:02}T12:{:02}:{:02}Z","pair":"EUR{:03}","rate":{}.{:06},"volume":{},"active":{},"note":"row number {} of many","tags":null}})"
        "\n",
        i, i % 28 + 1, i % 60, i / 60 % 60, i % 1000, i % 7, i % 999983, i * 37, i % 2 == 0, i);
  }
  return text;
}

}  // namespace

std::vector<Measurement> bench_load_ndjson() {
  const std::string text = sample();
  std::vector<double> seconds;
  std::uint64_t records = 0;
  std::uint64_t cells = 0;
  for (int round = 0; round < kRounds; ++round) {
    load::JsonReader reader(load::memory_input("sample", text).open({}));
    seconds.push_back(seconds_of([&] {
      while (const auto record = reader.next()) {
        ++records;
        cells += record->cells.size();
      }
    }));
  }
  if (records != kRounds * kRecords || cells != records * 8)
    throw Error(ExitCode::failed, "records were lost");
  std::nth_element(seconds.begin(), seconds.begin() + kRounds / 2, seconds.end());
  return {{.name = "NDJSON parsed into cells, one core",
           .value = static_cast<double>(text.size()) / kMegabyte / seconds[kRounds / 2],
           .unit = "MB/s",
           .target = kTarget}};
}

}  // namespace weir::bench
