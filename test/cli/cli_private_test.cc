// The private server from the command line, from nothing to its end.
#include <csignal>
#include <fstream>

#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "embedded/private_server.h"
#include "exec/process.h"
#include "fake_server.h"
#include "pg/connector.h"
#include "support/server.h"
#include "support/waiting.h"
#include "weir_program.h"

namespace weir::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Words = std::vector<std::string>;

/// A project folder of one test, whose server ends with it.
class CliPrivate : public ::testing::Test {
 protected:
  ~CliPrivate() override { run({"db", "stop"}); }

  WeirResult run(const Words& words) const { return run_weir(words, setup()); }
  [[nodiscard]] WeirSetup setup() const { return {.folder = folder_.path()}; }
  [[nodiscard]] nlohmann::json status() const {
    return nlohmann::json::parse(run({"db", "status", "--json"}).out);
  }
  [[nodiscard]] std::string state() const { return status().at("state"); }

  ScratchFolder folder_{"cli"};
};

/// What the ready line tells people to paste.
std::string url_in(const std::string& line) {
  const std::size_t begin = line.find('\'') + 1;
  return line.substr(begin, line.rfind('\'') - begin);
}

bool answers(const std::string& url) {
  try {
    return pg::Connector(pg::Conninfo::parse(url)).connect(pg::Role::api, "test").is_open();
  } catch (const pg::ConnectionLost&) {
    return false;
  }
}

TEST_F(CliPrivate, StatusKnowsAProjectWithoutADatabase) {
  EXPECT_EQ(state(), "absent");
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / ".weir"));
  EXPECT_THAT(run({"db", "stop"}).out, HasSubstr("no private PostgreSQL was running"));
  for (const Words& words : {Words{"db", "url"}, {"db", "psql"}, {"db", "migrate"}, {"doctor"}}) {
    const WeirResult result = run(words);
    EXPECT_EQ(result.status, 4) << words.front();
    EXPECT_THAT(result.out + result.err, AllOf(HasSubstr("this project has no private PostgreSQL yet"),
                                               HasSubstr("Start it with: weir db start")));
  }
}

TEST_F(CliPrivate, StartLeavesItRunningUntilStop) {
  const int port = free_port();
  const WeirResult started = run({"db", "start", "--port", std::to_string(port)});
  ASSERT_EQ(started.status, 0) << started.err;
  EXPECT_THAT(started.out, AllOf(StartsWith("PostgreSQL "), HasSubstr("\nconnect with: psql 'postgresql://"),
                                 HasSubstr("\nstop it with: weir db stop\n")));
  EXPECT_THAT(started.err, StartsWith("weir: making a private PostgreSQL in "));

  const nlohmann::json now = status();
  EXPECT_EQ(now.at("state"), "running");
  EXPECT_EQ(now.at("source"), "private");
  EXPECT_EQ(now.at("port"), port);
  EXPECT_EQ(now.at("kept"), true);
  EXPECT_GT(now.at("pid"), 0);
  EXPECT_EQ(now.at("schema").at("state"), "ok");
  EXPECT_EQ(now.at("schema").at("applied"), now.at("schema").at("known"));
  for (const char* const folder : {"data_dir", "socket_dir", "log"})
    EXPECT_THAT(now.at(folder), HasSubstr("/")) << folder;

  EXPECT_EQ(run({"db", "url"}).out, now.at("url").get<std::string>() + "\n");
  EXPECT_EQ(run({"db", "psql", "--", "-XAtc", "select 1"}).out, "1\n");
  std::string tcp = run({"db", "url", "--tcp"}).out;
  tcp.pop_back();
  EXPECT_THAT(tcp, HasSubstr("@127.0.0.1:" + std::to_string(port) + "/"));
  EXPECT_TRUE(answers(tcp));
  EXPECT_EQ(run({"db", "start", "--json"}).status, 0);
  EXPECT_EQ(run({"db", "start", "--port", "1"}).status, 5);
  const WeirResult doctor = run({"doctor"});
  EXPECT_EQ(doctor.status, 0) << doctor.out;
  EXPECT_THAT(doctor.out, HasSubstr("21 ok, 0 to look at, 0 failed"));

  EXPECT_EQ(run({"db", "stop", "--json"}).out, "{\n  \"stopped\": true\n}\n");
  EXPECT_EQ(state(), "stopped");
  EXPECT_FALSE(answers(tcp));
}

TEST_F(CliPrivate, WhatAnAdministratorShouldKnowIsInTheDocumentToo) {
  ASSERT_EQ(run({"db", "start"}).status, 0);
  ASSERT_EQ(run({"db", "psql", "--", "-Xqc", "ALTER ROLE weir_viewer LOGIN"}).status, 0);
  const auto about_the_role = HasSubstr("Role weir_viewer exists and is more than a group");
  EXPECT_THAT(nlohmann::json::parse(run({"db", "start", "--json"}).out).at("notices").dump(), about_the_role);
  WeirProgram up({"up", "--json"}, setup());
  EXPECT_THAT(nlohmann::json::parse(up.wait_for("ready")).at("notices").dump(), about_the_role);
  up.signal(SIGINT);
  EXPECT_EQ(up.wait_end(), 0);
}

TEST_F(CliPrivate, UpRunsUntilCtrlCAndTheServerEndsWithIt) {
  WeirProgram up({"up"}, setup());
  const std::string line = up.wait_for("weir: ready");
  EXPECT_THAT(line, StartsWith("weir: ready; connect with: psql 'postgresql://"));
  const std::string url = url_in(line);
  EXPECT_TRUE(answers(url));
  EXPECT_EQ(status().at("kept"), false);
  up.signal(SIGINT);
  EXPECT_EQ(up.wait_end(), 0);
  EXPECT_FALSE(answers(url));
  EXPECT_EQ(state(), "stopped");

  // The next one is killed; what it leaves behind is taken over, and ends in good order.
  {
    WeirProgram killed({"up", "--json"}, setup());
    const auto ready = nlohmann::json::parse(killed.wait_for("ready"));
    EXPECT_EQ(ready.at("event"), "ready");
    EXPECT_EQ(ready.at("url"), url);
    killed.signal(SIGKILL);
    EXPECT_EQ(killed.wait_end(), -SIGKILL);
  }
  const int pid = status().at("pid");
  WeirProgram heir({"up", "--json"}, setup());
  heir.wait_for("ready");
  EXPECT_EQ(status().at("pid"), pid);

  // Another one beside it: the server goes with the last.
  WeirProgram second({"up"}, setup());
  second.wait_for("weir: ready");
  heir.signal(SIGTERM);
  EXPECT_EQ(heir.wait_end(), 0);
  EXPECT_THAT(heir.out(), HasSubstr(R"({"event":"stopped","server":"running"})"));
  EXPECT_EQ(state(), "running");
  second.signal(SIGINT);
  EXPECT_EQ(second.wait_end(), 0);
  EXPECT_EQ(state(), "stopped");
}

TEST_F(CliPrivate, StartIsRememberedWhereTheServersUserCannotLook) {
  // As root: the server's user cannot enter, so the server's files go to a system folder. Else a plain
  // project.
  const std::filesystem::path closed = folder_.path() / "closed";
  std::filesystem::create_directory(closed);
  std::filesystem::permissions(closed, std::filesystem::perms::owner_all);
  const WeirSetup in_closed{.folder = closed};
  ASSERT_EQ(run_weir({"db", "start"}, in_closed).status, 0);
  const auto status = nlohmann::json::parse(run_weir({"db", "status", "--json"}, in_closed).out);
  EXPECT_EQ(status.at("kept"), true);

  WeirProgram up({"up", "--json"}, in_closed);
  up.wait_for("ready");
  up.signal(SIGINT);
  EXPECT_EQ(up.wait_end(), 0);
  EXPECT_THAT(up.out(), HasSubstr(R"("server":"running")"));
  EXPECT_EQ(run_weir({"db", "stop"}, in_closed).status, 0);
  std::filesystem::remove_all(std::filesystem::path(status.at("data_dir")).parent_path());
}

TEST_F(CliPrivate, UpBringsACrashedServerBackAndEndsWithOneThatWasStopped) {
  WeirProgram up({"up", "--json"}, setup());
  up.wait_for("ready");
  const int pid = status().at("pid");
  const auto postmaster = exec::Process::find(pid);
  ASSERT_TRUE(postmaster);
  postmaster->signal(SIGKILL);
  up.wait_for("\"lost\"");
  up.wait_for("\"recovered\"");
  EXPECT_EQ(state(), "running");
  EXPECT_NE(status().at("pid"), pid);

  EXPECT_EQ(run({"db", "stop"}).status, 0);
  EXPECT_EQ(up.wait_end(), 4);
  EXPECT_THAT(up.out(), HasSubstr("the private PostgreSQL was stopped by somebody else"));
  EXPECT_EQ(state(), "stopped");
}

TEST_F(CliPrivate, OnATerminalTheStepsLeaveNothingBehind) {
  WeirSetup terminal = setup();
  terminal.terminal = true;
  WeirProgram up({"up"}, terminal);
  const std::string line = up.wait_for("weir: ready");
  EXPECT_THAT(up.out(), StartsWith("\rweir: making a private PostgreSQL in "));
  // The last step's line is cleared before the first line that stays.
  EXPECT_THAT(line, HasSubstr("\r\x1b[Kweir: ready; connect with: psql '"));
  up.signal(SIGINT);
  EXPECT_EQ(up.wait_end(), 0);
}

TEST_F(CliPrivate, SignalsThatComeTogetherAreOneWish) {
  // A wrapper such as timeout(1) signals the program and then its whole group.
  WeirProgram up({"up", "--json"}, setup());
  up.wait_for("ready");
  up.signal(SIGINT);
  up.signal(SIGTERM);
  EXPECT_EQ(up.wait_end(), 0);
  EXPECT_EQ(state(), "stopped");
}

TEST_F(CliPrivate, AClosedTerminalEndsItInGoodOrder) {
  WeirProgram up({"up"}, setup());
  up.wait_for("weir: ready");
  up.signal(SIGHUP);
  EXPECT_EQ(up.wait_end(), 0);
  EXPECT_EQ(state(), "stopped");
}

TEST_F(CliPrivate, InterruptedWhileItStarts) {
  WeirProgram up({"up"}, setup());
  up.wait_for_error("making a private PostgreSQL");
  up.signal(SIGINT);
  EXPECT_EQ(up.wait_end(), 130) << up.err();
  EXPECT_EQ(up.out(), "");
  EXPECT_NE(state(), "running");
}

TEST_F(CliPrivate, AFolderThatIsNoProject) {
  std::ofstream(folder_.path() / "file") << "x";
  EXPECT_EQ(run({"-C", "file", "db", "start"}).status, 2);
  EXPECT_EQ(run({"-C", "/proc", "db", "start"}).status, 4);
}

TEST_F(CliPrivate, APortThatIsTaken) {
  const FakeServer holder{FakeServer::Silent{}};
  const WeirResult result = run({"db", "start", "--port", std::to_string(holder.port())});
  EXPECT_EQ(result.status, 4);
  EXPECT_THAT(result.err, HasSubstr("port is in use"));
}

TEST_F(CliPrivate, TheDemoOfWorkersCountsItsEffectsAndLeavesNothing) {
  const WeirResult result = run({"demo", "workers", "--events", "400", "--json"});
  ASSERT_EQ(result.status, 0) << result.err << result.out;
  const auto results = nlohmann::json::parse(result.out).at("results");
  ASSERT_EQ(results.size(), 3U);
  for (const auto& way : results) {
    EXPECT_EQ(way.at("processed"), 400) << way;
    EXPECT_EQ(way.at("lost"), 0) << way;
  }
  // All four have read the same first hundred before one marks it, and they mark in the same order.
  EXPECT_GE(results.at(0).at("duplicates").get<int>(), 300) << result.out;
  EXPECT_EQ(results.at(1).at("duplicates"), 0);
  EXPECT_EQ(results.at(2).at("duplicates"), 0);
  EXPECT_EQ(state(), "stopped") << "it was not up before";
  ASSERT_EQ(run({"db", "start"}).status, 0);
  EXPECT_EQ(run({"db", "psql", "--", "-XAtc", "select count(*) from pg_database where datname ~ 'demo'"}).out,
            "0\n");
}

TEST_F(CliPrivate, TheDemoOfSchedulersCountsWhatItShowsAndLeavesNothing) {
  const WeirResult result =
      run({"demo", "scheduler", "--tasks", "60", "--history", "3000", "--seed", "7", "--json"});
  ASSERT_EQ(result.status, 0) << result.err << result.out;
  const auto document = nlohmann::json::parse(result.out);
  EXPECT_EQ(document.at("seed"), 7);
  EXPECT_EQ(document.at("loops"), 4);
  const auto& states = document.at("states");
  ASSERT_EQ(states.size(), 2U);
  EXPECT_GT(states.at(0).at("double_starts"), 0);
  for (const char* figure : {"double_starts", "lost_updates", "wrong_runs"})
    EXPECT_EQ(states.at(1).at(figure), 0);
  EXPECT_EQ(states.at(1).at("done"), 60);
  EXPECT_EQ(document.at("looks").size(), 10U);
  const auto& connections = document.at("connections");
  ASSERT_EQ(connections.size(), 2U);
  EXPECT_EQ(connections.at(0).at("connections"), 5);
  EXPECT_GT(connections.at(0).at("waited"), 0);
  EXPECT_EQ(connections.at(1).at("done"), connections.at(1).at("tasks"));
  // On a busy machine a statement may be long after the one before it.
  EXPECT_LE(connections.at(1).at("idle_in_transaction"), 1);
  EXPECT_LT(connections.at(1).at("idle_in_transaction"), connections.at(0).at("idle_in_transaction"));
  EXPECT_LE(connections.at(1).at("connections"), connections.at(1).at("budget"));
  ASSERT_EQ(run({"db", "start"}).status, 0);
  EXPECT_EQ(run({"db", "psql", "--", "-XAtc", "select count(*) from pg_database where datname ~ 'demo'"}).out,
            "0\n");
}

TEST_F(CliPrivate, TheDemoOfGroupsShowsTheWedgeAndLeavesNothing) {
  const WeirResult result = run({"demo", "groups", "--groups", "4", "--seconds", "8", "--json"});
  ASSERT_EQ(result.status, 0) << result.err << result.out;
  const auto document = nlohmann::json::parse(result.out);
  EXPECT_EQ(document.at("groups"), 4);
  const auto& ways = document.at("results");
  ASSERT_EQ(ways.size(), 2U);
  const double lease = document.at("lease_seconds");
  const auto& shared = ways.at(0);
  EXPECT_EQ(shared.at("connections"), 2) << "its own, and that of the sweep";
  EXPECT_GT(shared.at("longest_standstill_seconds"), lease);
  EXPECT_GT(shared.at("longest_silence_seconds"), lease);
  for (const char* figure : {"twice", "refused", "taken_away"}) EXPECT_GT(shared.at(figure), 0) << figure;
  const auto& weir = ways.at(1);
  EXPECT_EQ(weir.at("way"), "Weir");
  EXPECT_LE(weir.at("connections"), 6);
  EXPECT_GT(weir.at("batches"), shared.at("batches"));
  // A machine that stands still for a lease takes a group from anybody.
  if (weir.at("longest_silence_seconds") < lease / 2) {
    for (const char* figure : {"twice", "refused", "taken_away"}) EXPECT_EQ(weir.at(figure), 0) << figure;
  }
  ASSERT_EQ(run({"db", "start"}).status, 0);
  EXPECT_EQ(run({"db", "psql", "--", "-XAtc", "select count(*) from pg_database where datname ~ 'demo'"}).out,
            "0\n");
}

TEST_F(CliPrivate, TheDemoOfGroupsEndsWithCtrlC) {
  WeirProgram demo({"demo", "groups"}, setup());
  demo.wait_for_error("somebody holds a row");
  demo.signal(SIGINT);
  EXPECT_EQ(demo.wait_end(), 130);
  EXPECT_EQ(demo.out(), "");
  ASSERT_EQ(run({"db", "start"}).status, 0);
  EXPECT_EQ(run({"db", "psql", "--", "-XAtc", "select count(*) from pg_database where datname ~ 'demo'"}).out,
            "0\n");
}

TEST_F(CliPrivate, TheDemoOfSchedulersEndsWithCtrlC) {
  WeirProgram demo({"demo", "scheduler", "--history", "3000"}, setup());
  demo.wait_for_error("a look for work");
  demo.signal(SIGINT);
  EXPECT_EQ(demo.wait_end(), 130);
  EXPECT_EQ(demo.out(), "");
  ASSERT_EQ(run({"db", "start"}).status, 0);
  EXPECT_EQ(run({"db", "psql", "--", "-XAtc", "select count(*) from pg_database where datname ~ 'demo'"}).out,
            "0\n");
}

}  // namespace
}  // namespace weir::test
