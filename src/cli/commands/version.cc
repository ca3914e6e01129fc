#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <weir/version.h>

#include "cli/commands.h"
#include "schema/migration.h"

namespace weir::cli {
namespace {

#if defined(__clang__)
constexpr std::string_view kCompiler = "clang " __clang_version__;
#else
constexpr std::string_view kCompiler = "g++ " __VERSION__;
#endif

ExitCode run_version(Context& context) {
  const std::string_view commit_or_none = commit().empty() ? "none" : commit();
  const std::size_t schema = schema::known_migrations().size();
  if (context.global.json) {
    context.out.json(
        {{"version", version()}, {"commit", commit()}, {"compiler", kCompiler}, {"schema", schema}});
  } else {
    context.out.line(
        fmt::format("weir {} (commit {}, {}, schema {})", version(), commit_or_none, kCompiler, schema));
  }
  return ExitCode::ok;
}

}  // namespace

Command version_command() {
  return {.path = "version",
          .summary = "show the version of this program",
          .description =
              "Version, commit, compiler, and the number of the database schema that this program\n"
              "works with. Connects to nothing.",
          .examples = {{"weir version --json", "the same for scripts"}},
          .run = run_version};
}

}  // namespace weir::cli
