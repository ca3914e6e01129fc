#include "scene.h"

#include <algorithm>
#include <fstream>

#include <unistd.h>

#include "exec/child.h"

namespace weir::bench {
namespace {

namespace fs = std::filesystem;

constexpr Duration kServerSpan = std::chrono::seconds(60);
constexpr Duration kToolSpan = std::chrono::minutes(10);

fs::path make_folder() {
  const fs::path folder = fs::temp_directory_path() / ("weir-bench-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  fs::permissions(folder, fs::perms::owner_all | fs::perms::group_exec | fs::perms::others_exec);
  return folder;
}

embedded::ServerOptions options_for(const fs::path& folder) {
  embedded::ServerOptions options;
  options.project = folder;
  return options;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double transactions_per_second(const std::string& output) {
  const std::size_t at = output.find("tps = ");
  if (at == std::string::npos) throw Error(ExitCode::failed, "pgbench said something else: " + output);
  return std::stod(output.substr(at + 6));
}

}  // namespace

Scene::Scene(std::string only)
    : only_(std::move(only)), folder_(make_folder()), server_(options_for(folder_)) {
  status_ = server_.start(Deadline::after(kServerSpan), {});
  pg::Connector::Options options;
  options.session.timeout = kToolSpan;
  options.users_search_path = true;
  connector_ = std::make_unique<pg::Connector>(pg::Conninfo::parse(status_.url), options);
}

Scene::~Scene() {
  try {
    server_.stop(Deadline::after(kServerSpan), {});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "weir_bench: the server did not stop: %s\n", error.what());
  }
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

std::string Scene::server_version() const { return std::string(session().server_setting("server_version")); }

std::string Scene::run_tool(std::vector<std::string> argv) const {
  exec::Command command;
  command.argv = std::move(argv);
  // pgbench is not on Debian's PATH; the newest server's folder has it.
  command.env["PATH"] =
      std::string(::getenv("PATH")) + ":/usr/lib/postgresql/" + std::to_string(*status_.major) + "/bin";
  if (const auto found = exec::find_program(command.argv[0], *command.env["PATH"])) command.argv[0] = *found;
  const exec::Outcome outcome = exec::run_command(command, Deadline::after(kToolSpan), {});
  if (!outcome.ok()) {
    throw Error(ExitCode::failed, command.argv[0] + ": " + outcome.describe() + ": " + outcome.err);
  }
  return outcome.out;
}

double Scene::pgbench(const std::string& name, const std::string& script, int clients, int transactions,
                      const std::vector<std::string>& more) const {
  const std::filesystem::path path = folder_ / (name + ".sql");
  std::ofstream(path) << script;
  std::vector<std::string> argv{"pgbench", "-n",
                                "-M",      "prepared",
                                "-c",      std::to_string(clients),
                                "-j",      "2",
                                "-t",      std::to_string(transactions),
                                "-f",      path.string()};
  argv.insert(argv.end(), more.begin(), more.end());
  argv.push_back(url());
  return transactions_per_second(run_tool(argv));
}

double seconds_of(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

Pair in_turn(int rounds, const std::function<double()>& ours, const std::function<double()>& theirs) {
  std::vector<double> our_values;
  std::vector<double> their_values;
  ours();
  theirs();
  for (int round = 0; round < rounds; ++round) {
    our_values.push_back(ours());
    their_values.push_back(theirs());
  }
  return {median(std::move(our_values)), median(std::move(their_values))};
}

}  // namespace weir::bench
