#include "report.h"

#include <fstream>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <weir/version.h>

namespace weir::bench {
namespace {

/// The value of the first line of `path` that begins with `key`, as /proc writes them: "key : value".
std::string proc_value(const char* path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    const std::size_t begin = line.find_first_not_of(" \t", line.find(':') + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "unknown";
}

std::string processor() { return proc_value("/proc/cpuinfo", "model name"); }
std::string memory() { return proc_value("/proc/meminfo", "MemTotal"); }

}  // namespace

std::string Report::to_json() const {
  nlohmann::ordered_json document;
  document["machine"] = {
      {"cores", std::thread::hardware_concurrency()}, {"processor", processor()}, {"memory", memory()}};
  document["versions"] = {
      {"weir", version()}, {"commit", commit()}, {"postgresql", server}, {"compiler", __VERSION__}};
  document["results"] = nlohmann::ordered_json::array();
  for (const Measurement& result : results) {
    nlohmann::ordered_json row = {{"name", result.name}, {"value", result.value}, {"unit", result.unit}};
    if (result.ratio) row["ratio"] = *result.ratio;
    if (result.target) row["target"] = *result.target;
    row["better"] = result.higher_is_better ? "higher" : "lower";
    if (!result.against.empty()) row["against"] = result.against;
    row["command"] = command;
    document["results"].push_back(std::move(row));
  }
  return document.dump(2);
}

std::string Report::to_markdown() const {
  std::string text = fmt::format("`{}` on {} cores ({}), PostgreSQL {}\n\n", command,
                                 std::thread::hardware_concurrency(), processor(), server);
  text += "| work | result | ratio | against | target | |\n|---|---:|---:|---|---:|---|\n";
  for (const Measurement& result : results) {
    const std::string target =
        result.target ? fmt::format("{} {}", result.higher_is_better ? "≥" : "≤", *result.target) : "";
    text += fmt::format("| {} | {:.4g} {} | {} | {} | {} | {} |\n", result.name, result.value, result.unit,
                        result.ratio ? fmt::format("{:.2f}", *result.ratio) : "", result.against, target,
                        !result.target       ? ""
                        : result.on_target() ? "met"
                                             : "**missed**");
  }
  return text;
}

}  // namespace weir::bench
