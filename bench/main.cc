#include <algorithm>
#include <cstdio>
#include <string>

#include "base/error.h"
#include "base/text.h"
#include "group_scene.h"
#include "suites.h"

namespace {

using namespace weir;
using namespace weir::bench;

struct Request {
  std::string suite;  // empty: all
  std::string part;   // empty: all of them
  bool json = false;
};

Request parse(int argc, char** argv) {
  Request request;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--json") {
      request.json = true;
    } else if (request.suite.empty() && !word.starts_with("-")) {
      request.suite = word.substr(0, word.find('.'));
      if (word.find('.') != word.npos) request.part = word.substr(word.find('.') + 1);
    } else {
      throw Error(ExitCode::usage, "unknown word: " + printable(word),
                  "usage: ./dev bench [NAME[.PART]] [--json]");
    }
  }
  return request;
}

bool is_known(const std::string& name) {
  return std::any_of(kSuites.begin(), kSuites.end(), [&](const Suite& suite) { return suite.name == name; });
}

int run(const Request& request) {
  if (!request.suite.empty() && !is_known(request.suite)) {
    std::string known;
    for (const Suite& suite : kSuites)
      known += "\n  " + std::string(suite.name) + "  " + std::string(suite.summary);
    throw Error(ExitCode::usage, "no benchmark has the name " + printable(request.suite),
                "There are:" + known);
  }
  Scene scene(request.part);
  Report report;
  report.command = "./dev bench" + (request.suite.empty() ? std::string() : " " + request.suite);
  report.server = scene.server_version();
  for (const Suite& suite : kSuites) {
    if (!request.suite.empty() && suite.name != request.suite) continue;
    for (Measurement& result : suite.run(scene)) report.results.push_back(std::move(result));
  }
  std::puts((request.json ? report.to_json() : report.to_markdown()).c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    // This program once more, as the process that one of its benchmarks kills.
    if (argc == 4 && std::string_view(argv[1]) == "--hold-groups") return hold_groups(argv[2], argv[3]);
    return run(parse(argc, argv));
  } catch (const Error& error) {
    std::fprintf(stderr, "weir_bench: %s\n%s\n", error.what(), error.remedy().c_str());
    return static_cast<int>(error.exit_code());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "weir_bench: %s\n", error.what());
    return static_cast<int>(ExitCode::failed);
  }
}
