#include "load_encode_bench.h"

#include <random>
#include <string>

#include <fmt/format.h>

#include "load/value/inference.h"
#include "load/value/row_encoder.h"
#include "scene.h"

namespace weir::bench {
namespace {

using namespace weir::load;

constexpr std::size_t kRows = 20'000;
constexpr std::size_t kColumns = 8;
constexpr int kTurns = 25;

/// Eight columns as exports have them. All cells, and the bytes that a CSV of them would have.
struct Table {
  std::vector<std::string> texts;
  std::vector<Cell> cells;
  std::size_t bytes = 0;
};

Table make_table() {
  std::mt19937 random(7);  // NOLINT: the same rows every time
  Table table;
  for (std::size_t row = 0; row < kRows; ++row) {
    table.texts.push_back(fmt::format("{}", 1'000'000 + row));
    table.texts.push_back(fmt::format("2024-{:02}-{:02} {:02}:{:02}:{:02}.{:06}", 1 + random() % 12,
                                      1 + random() % 28, random() % 24, random() % 60, random() % 60,
                                      random() % 1'000'000));
    table.texts.push_back(fmt::format("customer {}", random() % 100'000));
    table.texts.push_back(fmt::format("{}.{:02}", random() % 100'000, random() % 100));
    table.texts.push_back(fmt::format("{}", random() % 1000));
    table.texts.push_back(random() % 2 == 0 ? "true" : "false");
    table.texts.push_back(fmt::format("2024-{:02}-{:02}T{:02}:{:02}:00Z", 1 + random() % 12,
                                      1 + random() % 28, random() % 24, random() % 60));
    table.texts.push_back("some words that somebody wrote");
  }
  for (const std::string& text : table.texts) {
    table.cells.push_back({.kind = Cell::Kind::text, .text = text});
    table.bytes += text.size() + 1;
  }
  return table;
}

template <class Work>
Measurement measure(std::string name, const Table& table, double target, const Work& work) {
  work();
  const double seconds = seconds_of([&] {
    for (int turn = 0; turn < kTurns; ++turn) work();
  });
  const double rate = static_cast<double>(table.bytes) * kTurns / seconds / 1e6;
  return {.name = std::move(name), .value = rate, .unit = "MB/s of CSV", .target = target};
}

}  // namespace

std::vector<Measurement> bench_load_encode() {
  const Table table = make_table();
  const auto row = [&](std::size_t n) { return std::span(table.cells).subspan(n * kColumns, kColumns); };
  const RowEncoder encoder({type_of(Base::int8), type_of(Base::timestamp), type_of(Base::text),
                            type_of(Base::numeric), type_of(Base::int4), type_of(Base::boolean),
                            type_of(Base::timestamptz), type_of(Base::text)});
  std::string out;
  std::vector<Measurement> results;
  results.push_back(measure("load: encode eight columns, one core", table, 300, [&] {
    out.clear();
    for (std::size_t n = 0; n < kRows; ++n) (void)encoder.add(row(n), {}, out);
  }));
  results.push_back(measure("load: infer eight columns, one core", table, 100, [&] {
    Inference inference;
    for (std::size_t n = 0; n < kRows; ++n) inference.observe(row(n));
  }));
  return results;
}

}  // namespace weir::bench
