// Queues with limits, whose workers are killed and frozen. What ran when is written down beside the limits'
// own tables: by the workers in a file, and by triggers on claims and on verdicts. tools/check-limits, which
// shares no code with us, judges it. ./dev chaos runs it at full size.
//
// To see it fail: take the lock of the queue's row out of weir.claim_limited_jobs() (two claims count the
// same slots), or let weir.rescue_jobs() free the slots of processes that are not dead.

#include <array>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>
#include <set>

#include <gtest/gtest.h>
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "chaos_process.h"
#include "exec/child.h"
#include "pg/connector.h"
#include "schema/migrator.h"
#include "support/crew.h"
#include "support/server.h"
#include "support/waiting.h"

namespace weir::queue {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using ::testing::HasSubstr;

struct Limits {
  int running = 3;
  int of_key = 1;
  int rate = 40;
  /// Of a second a little less: a trigger sees a claim somewhat later than the claim its own clock.
  int window_us = 800'000;
};

/// In the order of time; what ends at a moment has ended before what begins at it.
exec::Outcome judge(const fs::path& history, const Limits& limits) {
  exec::Command command;
  command.argv = {"/bin/sh",
                  "-c",
                  R"(LC_ALL=C sort -k2,2n -k1,1r "$1" | "$2" "$3" "$4" "$5" "$6")",
                  "check-limits",
                  history.string(),
                  WEIR_TEST_DIR "/../tools/check-limits",
                  std::to_string(limits.running),
                  std::to_string(limits.of_key),
                  std::to_string(limits.rate),
                  std::to_string(limits.window_us)};
  return exec::run_command(command, Deadline::after(60s), {});
}

constexpr const char* kNotes = R"(
CREATE TABLE public.note (line text NOT NULL);
CREATE FUNCTION public.now_us() RETURNS int8 LANGUAGE sql AS
  'SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8';
CREATE FUNCTION public.note_claim() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO public.note (line)
  SELECT format('claim %s %s %s %s %s %s', public.now_us(), q.name, j.id, j.attempt, regexp_replace(p.name, '.*:', ''), p.id)
    FROM unnest(NEW.jobs) j, weir.queue q, weir.process p WHERE q.id = NEW.queue_id AND p.id = NEW.worker_id;
  RETURN NULL;
END $$;
CREATE TRIGGER note_claim AFTER INSERT ON weir.job_claim FOR EACH ROW EXECUTE FUNCTION public.note_claim();
CREATE FUNCTION public.note_verdict() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO public.note (line) VALUES (format('verdict %s %s', public.now_us(), NEW.id));
  RETURN NULL;
END $$;
CREATE TRIGGER note_verdict AFTER UPDATE ON weir.process FOR EACH ROW WHEN (NEW.dead AND NOT OLD.dead)
  EXECUTE FUNCTION public.note_verdict())";

class LimitChaosTest : public ::testing::Test {
 protected:
  void SetUp() override {
    session_.emplace(
        pg::Connector(server_.conninfo(), {.users_search_path = true}).connect(pg::Role::api, "test"));
    schema::migrate(*session_);
    session_->execute("SELECT weir.queue_id('capped'), weir.queue_id('rated')");
    session_->execute("UPDATE weir.queue SET max_attempts = 1000, backoff_ms = 1, backoff_cap_ms = 1");
    session_->execute(
        fmt::format("UPDATE weir.queue SET max_running = {}, max_per_key = {} WHERE name = 'capped'",
                    limits_.running, limits_.of_key));
    session_->execute(fmt::format(
        "UPDATE weir.queue SET rate_limit = {}, rate_period_ms = 1000 WHERE name = 'rated'", limits_.rate));
    session_->execute_script(kNotes);
  }
  void TearDown() override {
    if (HasFailure()) crew_.show_logs();
  }

  std::int64_t count(const std::string& from) {
    return session_->execute("SELECT count(*) FROM " + from)[0].get<std::int64_t>(0);
  }
  void start(std::size_t index) {
    crew_.start(index,
                {{"WEIR_CHAOS_HISTORY", path_.string()}, {"WEIR_CHAOS_URL", server_.conninfo().url()}});
  }
  /// There is always something to do, and not much left at the end. Five keys for three slots.
  void top_up(const std::string& queue, std::int64_t least) {
    const std::string waiting =
        "weir.job WHERE queue_id = (SELECT id FROM weir.queue WHERE name = '" + queue + "')";
    if (count(waiting) >= least) return;
    session_->execute(
        fmt::format("SELECT count(weir.enqueue('{}', to_jsonb(n % 5), limit_key => (n % 5)::text)) FROM "
                    "generate_series(1, {}) n",
                    queue, least));
  }
  /// The pace of the faults is that of the work.
  void let_work(std::uintmax_t bytes) {
    const auto size = [&] { return fs::exists(path_) ? fs::file_size(path_) : 0; };
    const std::uintmax_t before = size();
    const Deadline limit = Deadline::after(2s);
    test::wait_until([&] { return size() > before + bytes || limit.expired(); }, "work");
  }
  /// One that has a job of "capped", if any has: a death that meets nobody at work proves nothing.
  std::size_t victim(std::size_t turn) {
    std::set<std::int64_t> busy;
    const auto rows = session_->execute(
        "SELECT regexp_replace(p.name, '.*:', '')::int8 FROM weir.job_claim c JOIN weir.process p ON p.id = "
        "c.worker_id "
        "JOIN weir.queue q ON q.id = c.queue_id WHERE q.name = 'capped'");
    for (const pg::Row row : rows) busy.insert(row.get<std::int64_t>(0));
    for (std::size_t i = 0; i < crew_.size(); ++i) {
      const std::size_t index = (turn + i) % crew_.size();
      if (busy.contains(crew_.pid(index))) return index;
    }
    return turn;
  }
  /// The line comes first: who takes over comes after the death, so nobody is found to run too early.
  void kill_one(std::size_t index) {
    history_.add(fmt::format("kill {} {}", test::wall_us(), crew_.pid(index)));
    crew_.kill(index);
    start(index);
  }
  /// For a moment, or until the others have declared it dead and work on what it had.
  void freeze_one(std::size_t index, bool until_verdict) {
    const std::string alive =
        fmt::format("weir.process WHERE NOT dead AND name LIKE '%:{}'", crew_.pid(index));
    if (count(alive) == 0) return;
    crew_.freeze(index);
    if (until_verdict) test::wait_until([&] { return count(alive) == 0; }, "a verdict");
    let_work(300);
    crew_.thaw(index);
  }
  void take_notes() {
    for (const pg::Row row : session_->execute("SELECT line FROM public.note"))
      history_.add(row.get<std::string>(0));
  }

  Limits limits_;
  test::TestServer server_;
  test::ScratchFolder folder_{"limit-chaos"};
  fs::path path_ = folder_.path() / "history";
  test::HistoryFile history_{path_.string()};
  test::Crew crew_{"ChaosLimitedWorker.DISABLED_Run", folder_.path(), 6};
  std::optional<pg::Session> session_;
};

TEST_F(LimitChaosTest, NoMoreRunAndNoMoreAreBegunThanTheirQueuesAllow) {
  const Deadline end = Deadline::after(std::chrono::seconds(test::number_of("WEIR_CHAOS_SECONDS", 20)));
  const auto seed = static_cast<std::uint64_t>(test::number_of("WEIR_CHAOS_SEED", std::random_device{}()));
  fmt::print("[ seed     ] {}\n", seed);
  std::mt19937_64 random(seed);
  const auto below = [&](std::size_t limit) {
    return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random);
  };
  for (std::size_t i = 0; i < crew_.size(); ++i) start(i);
  std::array<int, 3> faults{};
  while (!end.expired()) {
    top_up("capped", 100);
    top_up("rated", 40);
    let_work(1000);
    const std::size_t index = victim(below(crew_.size()));
    const std::size_t what = below(10);
    if (what < 5) {
      ++faults[0];
      kill_one(index);
    } else {
      ++faults[what < 7 ? 1U : 2U];
      freeze_one(index, what < 7);
    }
  }
  test::wait_until([&] { return count("weir.job") + count("weir.job_later") + count("weir.job_claim") == 0; },
                   "all jobs to be done", 60s);
  crew_.stop_all();
  crew_.expect_never_said("service ended");
  EXPECT_EQ(count("weir.job_dead"), 0);
  EXPECT_EQ(count("weir.job_slot"), 0) << "a slot that nobody frees is lost to its queue";
  take_notes();
  const exec::Outcome verdict = judge(path_, limits_);
  EXPECT_TRUE(verdict.ok()) << verdict.out << verdict.err;
  const std::size_t line = verdict.out.rfind("limits:");
  fmt::print("chaos: seed {}, {} kills, {} freezes until a verdict, {} short ones; {}", seed, faults[0],
             faults[1], faults[2],
             line == std::string::npos ? std::string("no history\n") : verdict.out.substr(line));
}

/// The judge of the test above, on histories of a few lines.
class LimitJudge : public ::testing::Test {
 protected:
  exec::Outcome judge_with(const std::string& more) {
    const fs::path path = folder_.path() / "history";
    std::ofstream(path) << "claim 1 capped 1 1 11 100\nbegin 2 capped 1 1 11 a\n"
                           "claim 3 capped 2 1 12 101\nbegin 4 capped 2 1 12 b\n"
                           "end 5 capped 1 1 11\nkill 6 12\n"
                           "claim 7 capped 3 1 11 100\nbegin 8 capped 3 1 11 b\n"
                           "verdict 9 100\nclaim 10 rated 4 1 13 102\n"
                           "claim 10 capped 5 1 13 102\nbegin 11 capped 5 1 13 b\n"
                        << more;
    return judge(path, {.running = 2, .of_key = 1, .rate = 2, .window_us = 1000});
  }

  test::ScratchFolder folder_{"limit-judge"};
};

TEST_F(LimitJudge, WhoDiedOrWasDeclaredDeadDoesNotCount) {
  const exec::Outcome verdict = judge_with("begin 12 capped 3 1 11 b\n");
  EXPECT_TRUE(verdict.ok()) << verdict.out << verdict.err;
  EXPECT_THAT(verdict.out, HasSubstr("2 cut off, 1 late, 0 breaches"));
}

TEST_F(LimitJudge, WhatIsTooMuchIsABreach) {
  const auto refused = [&](const std::string& more, const std::string& why) {
    const exec::Outcome verdict = judge_with(more);
    EXPECT_FALSE(verdict.ok()) << more;
    EXPECT_THAT(verdict.out, HasSubstr(why)) << more;
  };
  refused("claim 12 capped 6 1 14 103\nbegin 13 capped 6 1 14 b\n", "2 run with key b");
  refused(
      "claim 12 capped 6 1 14 103\nbegin 13 capped 6 1 14 c\nclaim 14 capped 7 1 14 103\n"
      "begin 15 capped 7 1 14 d\n",
      "3 run");
  refused("claim 500 rated 6 1 13 102\nclaim 1000 rated 7 1 13 102\n", "3 were claimed within 1000 us");
  refused("begin 12 capped 6 1 14 c\n", "which never claimed it");
}

}  // namespace
}  // namespace weir::queue
