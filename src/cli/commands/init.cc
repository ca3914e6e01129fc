#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/project/new_project.h"

namespace weir::cli {
namespace {

ExitCode run_init(Context& context) {
  const Arguments& given = context.arguments;
  if (given.words.size() > 1) throw Error(ExitCode::usage, "init takes one folder", "See: weir help init");
  const std::string folder = given.words.empty() ? "." : given.words.front();
  const std::vector<std::string> files = write_new_project(context.global.project / folder);
  if (context.global.json) {
    context.out.json(
        {{"folder", (context.global.project / folder).lexically_normal().string()}, {"files", files}});
    return ExitCode::ok;
  }
  for (const std::string& file : files) context.out.line(file);
  context.out.line("");
  context.out.line("Next:");
  if (folder != ".") context.out.line(fmt::format("  cd {}", printable(folder)));
  context.out.line("  weir check   looks through it");
  context.out.line("  weir up      starts a PostgreSQL of its own, and the pipeline every minute");
  return ExitCode::ok;
}

}  // namespace

Command init_command() {
  return {
      .path = "init",
      .summary = "make a small project that runs as it is",
      .description =
          "Writes weir.yml and a pipeline that makes rates with sh and awk, loads them and has a model with\n"
          "checks. Refuses (5), and writes nothing, where one of its files is there already.",
      .words = "[DIR]",
      .examples = {{"weir init demo && cd demo && weir up", "from nothing to a pipeline that runs"},
                   {"weir init", "in the current folder"}},
      .run = run_init};
}

}  // namespace weir::cli
