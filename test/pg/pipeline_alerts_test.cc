// Alerts: decided in the transaction of what they are about, delivered at least once, whatever the other side
// does.

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <sstream>
#include <thread>

#include <fcntl.h>

#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/unique_fd.h"
#include "pipeline/run/alert_sender.h"
#include "pipeline/run/deploy.h"
#include "pipeline/run/scheduler.h"
#include "pipeline/run/worker.h"
#include "pipeline/task/alert_delivery.h"
#include "schema/queries/alerts.h"
#include "schema/queries/pipelines.h"
#include "schema/queries/tasks.h"
#include "support/http_server.h"
#include "support/pipeline_test.h"
#include "support/processes.h"
#include "support/project_text.h"
#include "support/tcp_gate.h"
#include "support/waiting.h"

namespace weir::pipeline {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kSecret = "sesame-42";

class PipelineAlerts : public test::PipelineTest {
 protected:
  void SetUp() override {
    PipelineTest::SetUp();
    std::string pattern = (std::filesystem::temp_directory_path() / "weir-alerts-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    std::filesystem::create_directories(folder_ / "pipelines/p");
  }
  void TearDown() override {
    sender_.reset();
    ::unsetenv("WEIR_TEST_HOOK");
    std::filesystem::remove_all(folder_);
    PipelineTest::TearDown();
  }

  /// One task, by hand or as `more` says, with these alerts.
  void deploy_with(const std::string& alerts, const std::string& more = "") {
    auto read = test::read_pipeline_text("alerts: " + alerts + "\n" + more + "tasks: {a: {sql: select 1}}\n");
    ASSERT_TRUE(read.diagnostics.ok()) << to_text(read.diagnostics);
    deploy(*sql_, read.project);
    if (worker_ == 0) worker_ = process();
  }
  std::int32_t pipeline() {
    const auto found = sql_->run<sql::FindPipeline>("p");
    return found.one().id;
  }
  /// A run to its end; its number.
  std::int64_t run_to(std::string_view state, const std::string& error = {}) {
    const std::int64_t run = start_run(pipeline());
    finish_claimed(state, error);
    return run;
  }
  void finish_claimed(std::string_view state, const std::string& error = {}) {
    const auto claimed = claim(*sql_, worker_, ++claims_, 10);
    ASSERT_EQ(claimed.size(), 1U);
    Aftermath aftermath;
    aftermath.add(finish(*sql_, claimed.front(), state, error));
    aftermath.carry_out(*sql_);
    alerts_written_ = aftermath.alerts;
  }
  std::string written() {
    return text("SELECT string_agg(event || ' ' || state, ', ' ORDER BY id) FROM weir.alert");
  }
  void start_sender(AlertOptions options = {}) {
    sender_ = std::make_unique<AlertSender>(shared_connector(), folder_, definitions_, options);
    sender_->start();
    sender_->poke();
  }
  void until(const std::string& condition) {
    test::wait_until([&] { return text("SELECT " + condition) == "true"; }, condition);
  }
  void until_sent() { until("NOT EXISTS (SELECT FROM weir.alert WHERE state <> 'sent')"); }
  /// What the keeper of a process does with one whose next try is due.
  void until_sent_with_pokes() {
    test::wait_until(
        [&] {
          const auto rows = sql_->run<sql::NextAlert>();
          if (!rows.empty() && rows[0].next_ms == 0) sender_->poke();
          return rows.empty();
        },
        "alerts to be sent");
  }

  std::filesystem::path folder_;
  Definitions definitions_;
  std::unique_ptr<AlertSender> sender_;
  std::int64_t worker_ = 0;
  std::int64_t claims_ = 0;
  bool alerts_written_ = false;
};

TEST_F(PipelineAlerts, AreDecidedByWhatBecomesOfTheRun) {
  deploy_with("[{when: [failed, recovered], to: 'http://x'}, {when: success, to: 'http://y'}]");
  run_to("success");
  EXPECT_TRUE(alerts_written_);
  EXPECT_EQ(written(), "success waiting") << "nothing had failed before";
  run_to("failed", "no such file\nsecond line");
  run_to("failed");
  run_to("success");
  run_to("success");
  EXPECT_EQ(text("SELECT string_agg(alert_no || event, ' ' ORDER BY id) FROM weir.alert"),
            "1success 0failed 0failed 0recovered 1success 1success");
  const auto document =
      json::parse(text("SELECT document FROM weir.alert WHERE event = 'failed' ORDER BY id LIMIT 1"));
  EXPECT_EQ(document.at("pipeline"), "p");
  EXPECT_EQ(document.at("project"), "test");
  EXPECT_EQ(document.at("state"), "failed");
  EXPECT_EQ(document.at("kind"), "manual");
  EXPECT_EQ(document.at("failed_tasks").dump(),
            R"([{"attempt":1,"error":"no such file\nsecond line","task":"a"}])");
  EXPECT_THAT(document.at("text"), HasSubstr("p failed: run "));
  EXPECT_THAT(document.at("text"), HasSubstr("Z: a: no such file"));
  EXPECT_THAT(document.at("text"), Not(HasSubstr("second line")));
  EXPECT_THAT(document.at("logical_at"), HasSubstr("T"));
}

TEST_F(PipelineAlerts, ARunWithoutAlertsOrCancelledWritesNone) {
  deploy_with("[{when: [failed, success], to: 'http://x'}]");
  const auto run = start_run(pipeline());
  sql_->run<sql::CancelRun>(run);
  Aftermath aftermath;
  std::vector<TaskNews> news;
  for (const auto& row : sql_->run<sql::UntoldOfRun>(run))
    news.push_back({{row.run_id, row.task_no, row.item}, to_news(row.state)});
  aftermath.add(news);
  aftermath.carry_out(*sql_);
  EXPECT_EQ(text("SELECT state FROM weir.run_done"), "cancelled");
  EXPECT_FALSE(aftermath.alerts);
  auto other = define("plain", {{}});
  start_run(store(other));
  finish_claimed("failed");
  EXPECT_EQ(text("SELECT count(*) FROM weir.alert"), "0");
  EXPECT_EQ(text("SELECT count(*) FROM weir.pipeline_failing"), "0");
}

TEST_F(PipelineAlerts, AnEndThatIsUndoneTellsNobody) {
  deploy_with("[{when: failed, to: 'http://x'}]");
  start_run(pipeline());
  const auto claimed = claim(*sql_, worker_, 1, 1);
  const auto news = finish(*sql_, claimed.at(0), "failed");
  sql_->execute("BEGIN");
  const auto ended = sql_->run<sql::EndRuns>(std::vector<std::int64_t>{claimed.at(0).key.run});
  EXPECT_EQ(ended.one().alerts, 1);
  sql_->execute("ROLLBACK");
  EXPECT_EQ(text("SELECT count(*) FROM weir.alert"), "0");
  EXPECT_EQ(text("SELECT state FROM weir.run"), "running");
}

TEST_F(PipelineAlerts, EndsOfSeveralPipelinesLockThemInOneOrder) {
  const std::string pipeline =
      "max_active_runs: 2\nalerts: [{when: failed, to: 'http://x'}]\ntasks: {a: {sql: select 1}}\n";
  auto read =
      test::read_files({{"pipelines/a/pipeline.yml", pipeline}, {"pipelines/b/pipeline.yml", pipeline}});
  ASSERT_TRUE(read.diagnostics.ok()) << to_text(read.diagnostics);
  deploy(*sql_, read.project);
  const auto id_of = [&](std::string_view name) {
    const auto found = sql_->run<sql::FindPipeline>(name);
    return found.one().id;
  };
  ASSERT_LT(id_of("a"), id_of("b"));
  const std::int64_t a1 = start_run(id_of("a"));
  const std::int64_t b1 = start_run(id_of("b"));
  const std::int64_t b2 = start_run(id_of("b"));  // before a2: as they come, they would be locked b first
  const std::int64_t a2 = start_run(id_of("a"));
  for (const auto& attempt : claim(*sql_, process(), 1, 10)) finish(*sql_, attempt, "failed");
  sql_->execute("BEGIN");
  sql_->run<sql::EndRuns>(std::vector<std::int64_t>{a1});
  std::promise<int> pid;
  std::jthread second([&] {
    pg::Session other = session();
    pid.set_value(other.backend_pid());
    EXPECT_NO_THROW(other.run<sql::EndRuns>(std::vector<std::int64_t>{b2, a2}));
  });
  test::wait_until_blocked(connector(), pid.get_future().get());
  sql_->run<sql::EndRuns>(std::vector<std::int64_t>{b1});
  sql_->execute("COMMIT");
  second.join();
  EXPECT_EQ(text("SELECT count(*) FROM weir.alert"), "4");
}

TEST_F(PipelineAlerts, ALateRunIsToldOnceWhoeverLooks) {
  deploy_with("[{when: late, to: 'http://x'}]", "deadline: 10m\nschedule: {every: 1h}\n");
  const auto id = std::to_string(pipeline());
  sql_->execute("SELECT weir.create_run(" + id +
                ", 'scheduled', now() - interval '11 minutes', now() - interval '1 hour', now(), '{}', 0, "
                "now() - interval "
                "'1 minute')");
  pg::Session other = session();
  {
    // Somebody has it: it is looked at the next time, and nobody waits.
    sql_->execute("BEGIN");
    sql_->execute("SELECT FROM weir.run FOR UPDATE");
    EXPECT_TRUE(other.run<sql::LateRuns>().empty());
    sql_->execute("COMMIT");
  }
  const auto late = other.run<sql::LateRuns>();
  EXPECT_EQ(late.one().pipeline, "p");
  EXPECT_EQ(late.one().alerts, 1);
  EXPECT_TRUE(sql_->run<sql::LateRuns>().empty());
  const auto document = json::parse(text("SELECT document FROM weir.alert"));
  EXPECT_EQ(document.at("state"), "queued");
  EXPECT_TRUE(document.contains("deadline"));
  EXPECT_THAT(document.at("text"), HasSubstr("p is late: run "));
  sql_->run<sql::StartRuns>(pipeline());
  finish_claimed("success");
  EXPECT_EQ(written(), "late waiting") << "its end does not tell it again";
}

TEST_F(PipelineAlerts, ARunThatEndsLateBeforeAnybodyLookedIsToldAllTheSame) {
  deploy_with("[{when: [late, failed], to: 'http://x'}]");
  const auto run = start_run(pipeline());
  sql_->execute("UPDATE weir.run SET late_at = clock_timestamp() - interval '1 ms' WHERE id = $1", run);
  finish_claimed("failed");
  EXPECT_EQ(written(), "late waiting, failed waiting");
}

TEST_F(PipelineAlerts, AWebhookGetsADocumentAndNoSecretIsKept) {
  test::HttpServer server;
  ::setenv("WEIR_TEST_HOOK", server.url(std::string("/") + kSecret).c_str(), 1);
  deploy_with("[{when: failed, to: '${env:WEIR_TEST_HOOK}'}]");
  const auto run = run_to("failed");
  start_sender();
  const auto requests = server.wait_for(1);
  EXPECT_EQ(requests[0].method, "POST");
  EXPECT_EQ(requests[0].path, std::string("/") + kSecret);
  EXPECT_THAT(requests[0].head, HasSubstr("Content-Type: application/json"));
  const auto document = json::parse(requests[0].body);
  EXPECT_EQ(document.at("event"), "failed");
  EXPECT_EQ(document.at("run"), run);
  EXPECT_EQ(document.at("attempt"), 1);
  EXPECT_EQ(document.at("alert").dump(), text("SELECT id FROM weir.alert"));
  until_sent();
  EXPECT_EQ(server.count(), 1U);
  for (const char* const table : {"alert", "pipeline_alert", "pipeline_version"})
    EXPECT_EQ(
        text(std::string("SELECT count(*) FROM weir.") + table + " t WHERE t::text LIKE '%" + kSecret + "%'"),
        "0");
}

TEST_F(PipelineAlerts, AServerThatFailsIsTriedAgain) {
  test::HttpServer server;
  server.answer_next({500, 302});
  deploy_with("[{when: failed, to: '" + server.url("/" + std::string(kSecret)) + "'}]");
  run_to("failed");
  start_sender({.backoff = {.base = 1ms, .cap = 1ms}});
  until_sent_with_pokes();
  EXPECT_EQ(server.count(), 3U);
  EXPECT_EQ(json::parse(server.wait_for(3)[2].body).at("attempt"), 3);
  EXPECT_EQ(text("SELECT state || ' ' || attempts FROM weir.alert"), "sent 3");
}

TEST_F(PipelineAlerts, AServerThatRefusesIsGivenUpInTheEnd) {
  test::HttpServer server;
  test::TcpGate gate(server.port());
  gate.refuse();
  ::setenv("WEIR_TEST_HOOK", ("http://127.0.0.1:" + std::to_string(gate.port()) + "/" + kSecret).c_str(), 1);
  deploy_with("[{when: failed, to: '${env:WEIR_TEST_HOOK}'}]");
  run_to("failed");
  start_sender({.attempts = 3, .backoff = {.base = 1ms, .cap = 1ms}});
  const UniqueFd said(::open((folder_ / "log").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  log::configure({.level = log::Level::info, .fd = said.get()});
  until_sent_with_pokes();
  sender_->stop();
  log::configure({.level = log::Level::error});
  std::stringstream log_text;
  log_text << std::ifstream(folder_ / "log").rdbuf();
  const std::string log = log_text.str();
  EXPECT_EQ(text("SELECT state || ' ' || attempts FROM weir.alert"), "given_up 3");
  EXPECT_THAT(text("SELECT error FROM weir.alert"), HasSubstr("connect"));
  EXPECT_THAT(log, HasSubstr("an alert was given up"));
  EXPECT_THAT(log, HasSubstr("${env:WEIR_TEST_HOOK}"));
  EXPECT_THAT(log, Not(HasSubstr(kSecret)));
  EXPECT_THAT(text("SELECT error FROM weir.alert"), Not(HasSubstr(kSecret)));
  EXPECT_EQ(server.count(), 0U);
  // Once more, by hand.
  gate.open();
  const auto again = sql_->run<sql::RenewAlerts>(std::nullopt);
  EXPECT_EQ(again.one().alerts, 1);
  start_sender();
  server.wait_for(1);
  until_sent();
}

TEST_F(PipelineAlerts, ASlowServerHoldsUpNoOther) {
  test::HttpServer slow;
  slow.fall_silent();
  test::HttpServer quick;
  deploy_with("[{when: failed, to: '" + slow.url("/") + "'}, {when: failed, to: '" + quick.url("/") + "'}]");
  run_to("failed");
  start_sender({.limit = 60s});
  slow.wait_for(1);
  quick.wait_for(1);
  EXPECT_EQ(text("SELECT count(*)::text FROM weir.alert"), "2") << "one of them still waits for its answer";
  slow.speak_again();
  until_sent();
  EXPECT_EQ(text("SELECT count(*)::text FROM weir.alert WHERE state = 'sent'"), "2");
}

TEST_F(PipelineAlerts, AServerThatSaysNothingIsNotWaitedForLong) {
  test::HttpServer server;
  server.fall_silent();
  deploy_with("[{when: failed, to: '" + server.url("/") + "'}]");
  run_to("failed");
  start_sender({.limit = 200ms, .attempts = 1});
  until("NOT EXISTS (SELECT FROM weir.alert WHERE state = 'waiting')");
  EXPECT_EQ(text("SELECT state FROM weir.alert"), "given_up");
  EXPECT_THAT(text("SELECT error FROM weir.alert"), HasSubstr("imeout"));
}

TEST_F(PipelineAlerts, AProcessThatDiesInMidDeliveryIsFollowedByAnother) {
  test::HttpServer server;
  server.fall_silent();
  deploy_with("[{when: failed, to: '" + server.url("/") + "'}]");
  run_to("failed");
  const std::string url = this->url();
  const pid_t child = test::in_process([&] {
    Definitions definitions;
    AlertSender sender(std::make_shared<const pg::Connector>(pg::Conninfo::parse(url)), folder_, definitions,
                       {.limit = 60s});
    sender.start();
    sender.poke();
    ::pause();
    return 0;
  });
  server.wait_for(1);
  EXPECT_EQ(text("SELECT state || attempts FROM weir.alert"), "waiting1");
  ::kill(child, SIGKILL);
  EXPECT_EQ(test::status_of(child), 128 + SIGKILL);
  server.speak_again();
  sql_->execute("UPDATE weir.alert SET due_at = now()");  // as when its lease has passed
  start_sender({.limit = 60s});
  until_sent_with_pokes();
  EXPECT_EQ(text("SELECT state || attempts FROM weir.alert"), "sent2");
  EXPECT_EQ(server.count(), 2U) << "at least once: it is told by its number";
  EXPECT_EQ(json::parse(server.wait_for(2)[0].body).at("alert"),
            json::parse(server.wait_for(2)[1].body).at("alert"));
}

TEST_F(PipelineAlerts, ALateVerdictChangesNothing) {
  deploy_with("[{when: failed, to: 'http://x'}]");
  run_to("failed");
  const auto first = sql_->run<sql::ClaimAlerts>(10, std::int64_t{0});
  const std::int64_t id = first.one().id;
  const auto second = sql_->run<sql::ClaimAlerts>(10, std::int64_t{60'000});
  EXPECT_EQ(second.one().attempt, 2);
  const auto settle = [&](int attempt, std::string_view state) {
    const auto rows =
        sql_->run<sql::SettleAlerts>(std::vector<std::int64_t>{id}, std::vector<std::int32_t>{attempt},
                                     std::vector<std::string_view>{state}, std::vector<std::int64_t>{0},
                                     std::vector<std::optional<std::string_view>>{std::nullopt});
    return rows.size();
  };
  EXPECT_EQ(settle(1, "given_up"), 0);
  EXPECT_EQ(settle(2, "sent"), 1);
  EXPECT_EQ(settle(2, "given_up"), 0);
  EXPECT_EQ(written(), "failed sent");
}

TEST_F(PipelineAlerts, AProgramReadsTheDocumentAndIsKeptFromTheDatabase) {
  std::ofstream(folder_ / "pipelines/p/tell.sh")
      << "#!/bin/sh\ncat > told.json\necho \"$1 $WEIR_EVENT $WEIR_RUN "
         "${PGPASSWORD-none}${DATABASE_URL-none}\" > told\n";
  std::filesystem::permissions(folder_ / "pipelines/p/tell.sh", std::filesystem::perms::owner_all);
  deploy_with("[{when: failed, run: [./tell.sh, 'a b; $(rm -rf x)']}]");
  ::setenv("PGPASSWORD", kSecret, 1);
  const auto run = run_to("failed");
  start_sender();
  until_sent();
  ::unsetenv("PGPASSWORD");
  std::string line;
  std::getline(std::ifstream(folder_ / "pipelines/p/told"), line);
  EXPECT_EQ(line, "a b; $(rm -rf x) failed " + std::to_string(run) + " nonenone");
  EXPECT_EQ(json::parse(std::ifstream(folder_ / "pipelines/p/told.json")).at("run"), run);
}

TEST_F(PipelineAlerts, AProgramThatFailsOrHangsSaysWhy) {
  deploy_with(
      "[{when: failed, run: [sh, -c, 'echo no mail >&2; exit 3']}, {when: failed, run: [./nowhere]}, "
      "{when: failed, to: '${env:WEIR_TEST_HOOK}'}]");
  run_to("failed");
  start_sender({.limit = 60s, .attempts = 1});
  until("NOT EXISTS (SELECT FROM weir.alert WHERE state = 'waiting')");
  EXPECT_EQ(text("SELECT error FROM weir.alert WHERE alert_no = 0"), "exit status 3: no mail");
  EXPECT_THAT(text("SELECT error FROM weir.alert WHERE alert_no = 1"), HasSubstr("./nowhere"));
  EXPECT_EQ(text("SELECT error FROM weir.alert WHERE alert_no = 2"),
            "the environment variable WEIR_TEST_HOOK is not set");
  sender_.reset();
  deploy_with("[{when: failed, run: [sleep, '100']}]");
  const auto run = run_to("failed");
  start_sender({.limit = 300ms, .attempts = 1});
  until("NOT EXISTS (SELECT FROM weir.alert WHERE state = 'waiting')");
  EXPECT_EQ(text("SELECT error FROM weir.alert WHERE run_id = " + std::to_string(run)),
            "it took longer than 300 ms");
}

TEST_F(PipelineAlerts, AWorkerSendsWhatItsRunsHaveCausedEvenAsItStops) {
  test::HttpServer server;
  auto read = test::read_pipeline_text("alerts: [{when: failed, to: '" + server.url("/") +
                                       "'}]\ntasks: {a: {sql: select 1 / 0}}\n");
  ASSERT_TRUE(read.diagnostics.ok()) << to_text(read.diagnostics);
  deploy(*sql_, read.project);
  start_run(pipeline());
  Worker worker({.connector = std::make_shared<const pg::Connector>(users_connector()), .project = folder_},
                {.slots = 1, .lease = 5s, .drain = 10s, .once = true});
  worker.start();
  EXPECT_TRUE(worker.wait_until_finished({}, Deadline::after(20s)));
  worker.stop();
  EXPECT_EQ(server.count(), 1U);
  EXPECT_EQ(written(), "failed sent");
}

TEST_F(PipelineAlerts, AnIdleWorkerSendsWhatOthersLeftBehind) {
  test::HttpServer server;
  deploy_with("[{when: failed, to: '" + server.url("/") + "'}]");
  run_to("failed");
  Worker worker({.connector = std::make_shared<const pg::Connector>(users_connector()), .project = folder_},
                {.slots = 1, .lease = 5s, .drain = 10s});
  worker.start();
  server.wait_for(1);
  until_sent();
  until(
      "NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = "
      "'weir:api:alerts')");
  worker.stop();
  EXPECT_EQ(text("SELECT string_agg(state, ',') FROM weir.alert"), "sent");
}

TEST_F(PipelineAlerts, OldOnesGoWithTheHistory) {
  deploy_with("[{when: failed, to: 'http://x'}]");
  run_to("failed");
  run_to("failed");
  sql_->execute(
      "UPDATE weir.alert SET state = 'sent', ended_at = now() - interval '31 days' WHERE id = (SELECT "
      "min(id) FROM weir.alert)");
  const auto rows = sql_->run<sql::ForgetAlerts>();
  EXPECT_EQ(rows.one().forgotten, 1);
  EXPECT_EQ(written(), "failed waiting");
}

TEST(AlertTarget, ShowsNoSecret) {
  EXPECT_EQ(alert_target({.to = "https://hooks.example.org/services/T0/B1/sesame?x=1"}),
            "https://hooks.example.org");
  EXPECT_EQ(alert_target({.to = "https://eve:sesame@example.org:8443/x"}), "https://example.org:8443");
  EXPECT_EQ(alert_target({.to = "https://example.org"}), "https://example.org");
  EXPECT_EQ(alert_target({.to = "${env:HOOK}"}), "${env:HOOK}");
  EXPECT_EQ(alert_target({.run = {"./tell", "sesame"}}), "./tell");
}

}  // namespace
}  // namespace weir::pipeline
