#include <algorithm>
#include <cstring>
#include <iterator>

#include <fmt/format.h>

#include "load/read/csv_reader.h"
#include "load_encode_bench.h"
#include "load_tables_bench.h"
#include "suites.h"

namespace weir::bench {
namespace {

constexpr int kRounds = 5;
constexpr std::size_t kRows = 5000000;
constexpr std::size_t kRowsOfBlock = 100000;

/// The same rows over and over, so that the memory of the machine is no part of the measurement.
class Repeated final : public load::ByteSource {
 public:
  Repeated(const std::string& block, std::size_t times) : block_(block), left_(times) {}

  std::size_t read(std::span<char> room) override {
    if (at_ == block_.size()) {
      at_ = 0;
      --left_;
    }
    if (left_ == 0) return 0;
    const std::size_t count = std::min(room.size(), block_.size() - at_);
    std::memcpy(room.data(), block_.data() + at_, count);
    at_ += count;
    done_ += count;
    return count;
  }
  [[nodiscard]] load::ReadProgress progress() const override { return {done_, 0}; }

 private:
  const std::string& block_;
  std::size_t left_;
  std::size_t at_ = 0;
  std::uint64_t done_ = 0;
};

/// Eight columns as a table of exchange rates has them; one of ten names is in quotes, one of a hundred has
/// some inside.
std::string make_rows() {
  std::string rows;
  for (std::size_t i = 0; i < kRowsOfBlock; ++i) {
    const std::string name = i % 100 == 0  ? fmt::format("\"the \"\"{}\"\", of them\"", i)
                             : i % 10 == 0 ? fmt::format("\"desk {}, north\"", i)
                                           : fmt::format("desk {}", i % 1000);
    rows += fmt::format("{},2026-{:02}-{:02} {:02}:{:02}:00+00,EUR/{:c}SD,{}.{:05},{},{},{},{}\n", i * 7919,
                        i % 12 + 1, i % 28 + 1, i % 24, i % 60, static_cast<char>('A' + i % 26), i % 3,
                        i % 100000, i % 5 == 0 ? "" : "1.25", name, i % 2 == 0 ? "true" : "false", i % 977);
  }
  return rows;
}

/// MB a second.
double read_all(const std::string& rows) {
  load::Input input{.name = "rows", .open = [&rows](const std::stop_token&) {
                      return std::make_unique<Repeated>(rows, kRows / kRowsOfBlock);
                    }};
  load::CsvChoice choice;
  choice.header = false;
  std::size_t count = 0;
  std::uint64_t bytes = 0;
  const double seconds = seconds_of([&] {
    load::CsvReader reader({std::move(input)}, choice, {});
    while (const auto record = reader.next()) count += record->cells.size();
    bytes = reader.progress().bytes;
  });
  if (count != kRows * 8) throw Error(ExitCode::failed, fmt::format("{} cells were read", count));
  return static_cast<double>(bytes) / 1e6 / seconds;
}

Measurement csv() {
  const std::string rows = make_rows();
  std::vector<double> rates;
  for (int round = 0; round <= kRounds; ++round) rates.push_back(read_all(rows));
  std::sort(rates.begin() + 1, rates.end());  // the first one warms up
  return {.name = "reading CSV, 5M rows of 8 columns, 1 core",
          .value = rates[1 + kRounds / 2],
          .unit = "MB/s",
          .target = 400};
}

}  // namespace

std::vector<Measurement> bench_load(Scene& scene) {
  std::vector<Measurement> results;
  const auto add = [&results](std::vector<Measurement> more) {
    results.insert(results.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  };
  if (scene.wants("csv")) results.push_back(csv());
  if (scene.wants("encode")) add(bench_load_encode());
  if (scene.wants("ndjson")) add(bench_load_ndjson());
  if (scene.wants("append")) results.push_back(bench_load_append(scene));
  if (scene.wants("refresh")) add(bench_load_refresh(scene));
  if (scene.wants("readers")) results.push_back(bench_load_readers(scene));
  return results;
}

}  // namespace weir::bench
