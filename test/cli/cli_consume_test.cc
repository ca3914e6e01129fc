// weir consume, as a user has it: SQL and commands, several processes, signals, what is refused and why.
#include <csignal>
#include <fstream>

#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "exec/process.h"
#include "support/adopt.h"
#include "support/processes.h"
#include "support/waiting.h"
#include "weir_program.h"

namespace weir::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Words = std::vector<std::string>;

class CliConsume : public AdoptTest {
 protected:
  [[nodiscard]] WeirSetup setup() const {
    return {.env = {{"DATABASE_URL", url()}}, .folder = folder_.path()};
  }
  [[nodiscard]] static Words words(const Words& more) {
    Words all{"consume", "events", "--order-by", "event_timestamp", "--done", "processed"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  [[nodiscard]] WeirResult consume(const Words& more) const { return run_weir(words(more), setup()); }

  ScratchFolder folder_{"consume"};
};

const std::string kEffects = "INSERT INTO effect SELECT (payload->>'id')::bigint FROM weir_batch";

TEST_F(CliConsume, SqlOnceDoesAllAndSaysSo) {
  make_events(Shape::partitioned, 500);
  std::ofstream(folder_.path() / "effects.sql") << kEffects;
  const WeirResult result = consume({"--once", "--batch", "64", "-w", "3", "--set", "processed_at=now()",
                                     "--set", "payload='p'", "--sql", "effects.sql"});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("public.events: 500 rows done in "));
  EXPECT_THAT(result.err, Not(HasSubstr("weir:")));
  EXPECT_EQ(tally(), "500/500 500/500");
  EXPECT_EQ(number("SELECT count(*) FROM events WHERE processed_at IS NOT NULL AND payload = 'p'"), 500);
}

TEST_F(CliConsume, ProcessesThatAreKilledRepeatNothing) {
  make_events(Shape::plain, 3000);
  const Words many =
      words({"--batch", "20", "-w", "2", "--json", "--sql", kEffects + "; SELECT pg_sleep(0.002)"});
  {
    std::vector<std::unique_ptr<WeirProgram>> killed;
    for (int i = 0; i < 3; ++i) killed.push_back(std::make_unique<WeirProgram>(many, setup()));
    for (std::size_t i = 0; i < killed.size(); ++i) {
      const auto wanted = static_cast<std::int64_t>(i + 1) * 300;
      wait_until([&] { return number("SELECT count(*) FROM effect") >= wanted; }, "some effects");
      killed[i]->signal(SIGKILL);
      EXPECT_EQ(killed[i]->wait_end(), -SIGKILL);
    }
  }
  const WeirResult rest = consume({"--once", "--sql", kEffects});
  EXPECT_EQ(rest.status, 0) << rest.err;
  EXPECT_EQ(tally(), "3000/3000 3000/3000");
}

TEST_F(CliConsume, WhatItsCommandHasStartedDiesWithAConsumerThatIsKilled) {
  make_events(Shape::plain, 1);
  const auto file = folder_.path() / "pid";
  WeirProgram killed(
      words({"-w", "1", "--", "sh", "-c", "sleep 1000 & echo $! >pid.new; mv pid.new pid; wait"}), setup());
  wait_until([&] { return std::filesystem::exists(file); }, "the command");
  pid_t pid = 0;
  std::ifstream(file) >> pid;
  ASSERT_TRUE(pid > 1 && exec::Process::find(pid));
  killed.signal(SIGKILL);
  EXPECT_EQ(killed.wait_end(), -SIGKILL);
  EXPECT_TRUE(gone(pid));
}

TEST_F(CliConsume, ACommandGetsTheRowsAndItsAnswersCount) {
  make_events(Shape::plain, 40);
  const WeirResult result = consume(
      {"--once", "--columns", "id", "--batch", "15", "--max-attempts", "1", "--json", "--", "sh", "-c",
       R"(while read -r line; do case $line in '{"end":'*) echo '{"ack":"all"}';; *'"id":"7"'*) echo '{"id":"7","error":"seven"}';; *) echo "$line" >>seen;; esac; done)"});
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr("a row was given up"), HasSubstr("seven")));
  std::istringstream lines(result.out);
  std::string last;
  std::vector<nlohmann::json> events;
  while (std::getline(lines, last)) events.push_back(nlohmann::json::parse(last));
  ASSERT_GE(events.size(), 3U);
  EXPECT_EQ(events[0].at("event"), "started");
  const auto& finished = events[events.size() - 2];
  EXPECT_EQ(finished.at("event"), "finished");
  EXPECT_EQ(finished.at("done"), 39);
  EXPECT_EQ(finished.at("given_up"), 1);
  EXPECT_EQ(events.back().at("error").at("message"), "1 row of public.events failed and is not done");
  EXPECT_EQ(number("SELECT id FROM events WHERE NOT processed"), 7);
  std::ifstream seen(folder_.path() / "seen");
  std::string line;
  std::getline(seen, line);
  EXPECT_THAT(line, AllOf(HasSubstr(R"("id":"30")"), HasSubstr(R"("queue":"public.events")"),
                          HasSubstr(R"("payload":{"id": 30})")));
}

TEST_F(CliConsume, SigtermEndsItWithTheFigures) {
  make_events(Shape::plain, 30);
  WeirProgram program(words({"--sql", kEffects, "--json"}), setup());
  wait_until([&] { return number("SELECT count(*) FROM effect") == 30; }, "the effects");
  program.signal(SIGTERM);
  EXPECT_EQ(program.wait_end(), 0);
  EXPECT_THAT(program.out(),
              HasSubstr(R"("event":"finished","table":"public.events","nothing_left":false,"done":30)"));
}

TEST_F(CliConsume, TheTriggerComesAndGoes) {
  make_events(Shape::plain, 0);
  const Words install{"consume", "events", "--install-trigger"};
  const WeirResult early = run_weir(install, setup());
  EXPECT_EQ(early.status, 4);
  EXPECT_THAT(early.err, HasSubstr("Run weir db migrate first"));
  EXPECT_EQ(run_weir({"db", "migrate"}, setup()).status, 0);
  const WeirResult installed = run_weir(install, setup());
  EXPECT_EQ(installed.status, 0) << installed.err;
  EXPECT_THAT(installed.out, HasSubstr("the trigger weir_consume_wake of public.events is installed"));
  EXPECT_THAT(installed.err, HasSubstr("SHARE ROW EXCLUSIVE"));
  EXPECT_THAT(run_weir(install, setup()).out, HasSubstr("was there already"));
  EXPECT_THAT(run_weir({"consume", "events", "--remove-trigger"}, setup()).out, HasSubstr("is removed"));
}

TEST_F(CliConsume, WithoutAnIndexItSaysWhichToMake) {
  make_events(Shape::partitioned, 10);
  session().execute("DROP INDEX events_event_timestamp_idx");
  const WeirResult result = consume({"--once", "--sql", "SELECT 1"});
  EXPECT_EQ(result.status, 0);
  EXPECT_THAT(result.err, AllOf(HasSubstr("no index serves the poll of public.events"),
                                HasSubstr("CREATE INDEX CONCURRENTLY \"events_1_weir_todo\""),
                                HasSubstr("ATTACH PARTITION"), HasSubstr("-- SHARE on the parent")));
  const WeirResult refused = consume({"--once", "--require-index", "--sql", "SELECT 1"});
  EXPECT_EQ(refused.status, 5);
  EXPECT_THAT(refused.err, HasSubstr("ON ONLY \"public\".\"events\""));
}

struct ConsumeMistake {
  Words words;
  int status;
  std::string message;
  std::string remedy;
};

TEST_F(CliConsume, MistakesAreToldBeforeAnyRowIsTouched) {
  make_events(Shape::plain, 10);
  session().execute_script("CREATE VIEW seen AS SELECT * FROM events; CREATE TABLE \"Odd\" (a int)");
  const auto on = [](const std::string& table, const std::string& order, const std::string& done,
                     Words more = {}) {
    Words all{"consume", table, "--order-by", order, "--done", done, "--sql", "SELECT 1"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  const std::vector<ConsumeMistake> mistakes{
      {{"consume"}, 2, "which table?", "weir consume events"},
      {{"consume", "events", "--done", "processed"}, 2, "what is to be done with the rows?", "--sql"},
      {{"consume", "events", "--done", "processed", "--sql", "SELECT 1"},
       2,
       "--order-by is missing",
       "created_at"},
      {{"consume", "events", "--order-by", "id", "--sql", "SELECT 1"},
       2,
       "--done is missing",
       "--done processed"},
      {words({"--", "no-such-command"}), 2, "the command no-such-command was not found", "PATH"},
      {words({"--sql", "nowhere.sql"}), 2, "there is no file nowhere.sql", ""},
      {words({"--sql", "SELECT 1", "--poll", "5"}), 2, "--poll is '5', which is not a time", "250ms, 5s"},
      {words({"--sql", "SELECT 1", "--set", "payload"}), 2, "--set 'payload' is not COLUMN=EXPRESSION",
       "now()"},
      {words({"--sql", "SELECT 1", "--set", "processed=false"}), 2, "processed would be set twice",
       "--done-value"},
      {on("evnets", "id", "processed"), 3, "there is no table evnets", "Did you mean 'events'?"},
      {on("odd", "a", "a"), 3, "there is no table odd", "Did you mean 'Odd'?"},
      {on("a b c", "id", "processed"), 2, "'a b c' is no name of a table", ""},
      {on("seen", "id", "processed"), 3, "public.seen is a view", "Name the table behind it"},
      {on("events", "event_timestmap", "processed"), 3, "has no column 'event_timestmap' (--order-by)",
       "Did you mean 'event_timestamp'?"},
      {on("events", "id", "payload"), 3, "column payload of public.events is text: how is a done row told",
       "--done-value"},
      {on("events", "id", "event_timestamp"), 3, "event_timestamp of public.events is never null",
       "DROP NOT NULL"},
      {on("events", "id", "processed", {"--failed", "processed_at"}), 3, "cannot take errors", "ADD COLUMN"},
      {on("events", "id", "processed", {"--where", "nonsense > 1"}), 3, "column \"nonsense\" does not exist",
       "--where"},
      {on("events", "id", "processed", {"--where", "true) or (true"}), 3,
       "--where 'true) or (true' is no expression by itself", "other half"},
      {on("events", "id", "processed", {"--where", "true) or (true) --"}), 3, "syntax error", "--where"},
      {on("events", "id", "processed", {"--set", "payload='x'), processed_at = (null"}), 3,
       "--set payload= ''x'), processed_at = (null' is no expression by itself", "other half"},
      {on("events", "id", "processed", {"--where", "true /*"}), 3, "unterminated /* comment", "--where"},
      {on("events", "id", "processed", {"--where", "true; select 1"}), 3, "syntax error", "--where"},
      {on("events", "id", "processed", {"--set", "payload=nothing(1)"}), 3,
       "function nothing(integer) does not exist", "--set"},
  };
  for (const ConsumeMistake& mistake : mistakes) {
    const WeirResult result = run_weir(mistake.words, setup());
    EXPECT_EQ(result.status, mistake.status) << mistake.message << '\n' << result.err;
    EXPECT_THAT(result.err, AllOf(HasSubstr(mistake.message), HasSubstr(mistake.remedy)));
    EXPECT_EQ(result.out, "");
  }
  EXPECT_EQ(tally(), "0/10 0/0");
}

TEST_F(CliConsume, RightsThatAreMissingAreNamed) {
  make_events(Shape::plain, 10);
  pg::Session admin = session();
  admin.execute_script(
      "DROP ROLE IF EXISTS weir_test_eve; CREATE ROLE weir_test_eve LOGIN SUPERUSER; ALTER ROLE "
      "weir_test_eve "
      "NOSUPERUSER; GRANT SELECT, INSERT ON events TO weir_test_eve");
  WeirSetup as_eve = setup();
  as_eve.env["PGOPTIONS"] = "-c role=weir_test_eve";
  const Words once = words({"--once", "--sql", "SELECT 1"});
  const WeirResult denied = run_weir(once, as_eve);
  EXPECT_EQ(denied.status, 4);
  EXPECT_THAT(denied.err, HasSubstr("user weir_test_eve may not update \"processed\" of public.events"));
  EXPECT_THAT(denied.err,
              HasSubstr("GRANT UPDATE (\"processed\") ON \"public\".\"events\" TO \"weir_test_eve\";"));
  admin.execute_script(
      "GRANT UPDATE ON events TO weir_test_eve; ALTER TABLE events ENABLE ROW LEVEL SECURITY");
  const WeirResult hidden = run_weir(once, as_eve);
  EXPECT_EQ(hidden.status, 3);
  EXPECT_THAT(hidden.err,
              HasSubstr("row-level security hides rows of public.events from user weir_test_eve"));
  admin.execute_script("DROP OWNED BY weir_test_eve; DROP ROLE weir_test_eve");
}

}  // namespace
}  // namespace weir::test
