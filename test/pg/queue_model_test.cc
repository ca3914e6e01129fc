// The queue against a model in memory: random histories of producers, processes, operators and deaths, and
// after each step the whole state of the tables beside the model's.

#include "queue_model.h"

#include <algorithm>

#include <gtest/gtest.h>
#include <fmt/format.h>
#include <rapidcheck.h>

#include "queue/claim_marks.h"
#include "schema/queries/jobs.h"
#include "schema/queries/work.h"
#include "support/database.h"
#include "work/settling.h"

namespace weir::queue {
namespace {

using work::Action;
using work::decide;
using work::Decision;

using work::Outcome;

/// What is to happen, chosen by numbers: each step makes of them what its state allows.
struct Step {
  int what, a, b, c, d;
};

std::ostream& operator<<(std::ostream& out, const Step& step) {
  return out << fmt::format("{{{}, {}, {}, {}, {}}}", step.what, step.a, step.b, step.c, step.d);
}

class QueueModel {
 public:
  explicit QueueModel(pg::Session& session) : session_(session) {
    session.execute_script(
        "TRUNCATE weir.job, weir.job_claim, weir.job_later, weir.job_dead, weir.job_done, weir.job_unique, "
        "weir.job_cancel,"
        " weir.job_slot, weir.job_payload, weir.process, weir.listener, weir.left_to_others; UPDATE "
        "weir.queue SET paused = "
        "false");
  }

  void run(const Step& step) {
    switch (step.what) {
      case 0:
      case 1: enqueue(step); break;
      case 2:
      case 3: claim(step); break;
      case 4:
      case 5: settle(step); break;
      case 6: cancel(step); break;
      case 7: die(step); break;
      case 8: promote(); break;
      case 9: pause(); break;
      case 10: replay(); break;
      case 11: stale(step); break;
      case 12: give_back(step); break;
      default: finish_whole(step); break;
    }
    const auto answer = session_.execute(kState);
    RC_ASSERT(answer[0].get<std::string>(0) == model_.describe());
    RC_ASSERT(model_.running(2) <= kMaxRunning);
    for (const std::string key : {"x", "y"}) RC_ASSERT(model_.running(2, &key) <= kMaxPerKey);
    RC_ASSERT(model_.waiting.size() + model_.later.size() + model_.dead.size() + model_.ended +
                  static_cast<std::size_t>(model_.running(1) + model_.running(2)) ==
              made_);
  }

 private:
  void enqueue(const Step& step) {
    ModelJob job{.queue = 1 + step.a % kQueues, .priority = step.b % 3, .max_attempts = 1 + step.c % 3};
    if (step.d % 4 == 1) job.unique_key = step.c % 2 == 0 ? "u" : "v";
    if (step.b % 2 == 1) job.limit_key = step.c % 2 == 0 ? "x" : "y";
    const bool later = step.a % 5 == 4;
    const bool windowed = step.a % 3 == 2;
    constexpr std::array kChoices{"ignore", "replace", "reschedule"};
    const std::string choice = kChoices.at(static_cast<std::size_t>(step.b % 3));
    const auto answer = session_.execute(
        "SELECT weir.enqueue($1, '{}', '', $2, delay => $3::interval, max_attempts => $4, unique_key => "
        "nullif($5, ''),"
        " unique_for => $6::interval, if_exists => $7, limit_key => nullif($8, ''))",
        "q" + std::to_string(job.queue), job.priority,
        later ? std::optional<std::string>("1 hour") : std::nullopt, job.max_attempts, job.unique_key,
        windowed ? std::optional<std::string>("1 hour") : std::nullopt, choice, job.limit_key);
    job.id = answer[0].get<std::int64_t>(0);

    if (!job.unique_key.empty()) {
      const auto key = std::pair(job.queue, job.unique_key);
      const auto found = model_.keys.find(key);
      if (found == model_.keys.end()) {
        model_.keys[key] = {job.id, windowed};
      } else if (choice == "ignore") {
        RC_ASSERT(job.id == found->second.job);
        return;
      } else {
        const std::int64_t holder = found->second.job;
        const auto old =
            model_.waiting.contains(holder) ? model_.waiting.extract(holder) : model_.later.extract(holder);
        if (!old.empty()) {
          RC_ASSERT(job.id == holder);
          if (choice == "reschedule") {
            job.priority = old.mapped().priority;
            job.limit_key = old.mapped().limit_key;
          }
          --made_;
        } else {
          RC_ASSERT(job.id > holder);  // it runs or has ended: the key goes to a new job
        }
        found->second = {job.id, windowed};
      }
    }
    ++made_;
    if (later) {
      model_.later[job.id] = job;
    } else {
      model_.wait(job, true);
    }
  }

  /// One of the processes, a new one now and then.
  std::int64_t process(int choice) {
    if (model_.processes.size() < 2 || choice % 7 == 0) {
      const auto answer = session_.run<sql::RegisterProcess>("model", std::int64_t{3'600'000});
      const std::int64_t id = answer.one().id;
      model_.processes[id] = {};
      return id;
    }
    return std::next(model_.processes.begin(), choice % static_cast<int>(model_.processes.size()))->first;
  }

  auto claim_jobs(std::int64_t worker, std::int64_t number, const ClaimMarks::Range& range, int wanted) {
    return session_.run<sql::ClaimJobs>(worker, number, std::int16_t{0}, 1, range.priority, range.above,
                                        range.last_priority, static_cast<std::int64_t>(wanted));
  }

  void claim(const Step& step) {
    const std::int64_t worker = process(step.a);
    ModelProcess& process = model_.processes.at(worker);
    const std::int64_t number = ++process.claims;
    const int queue = 1 + step.b % kQueues;
    const int wanted = 1 + step.c % 4;
    std::vector<std::int64_t> got;
    const auto keep = [&](const auto& rows) {
      for (const auto& row : rows) got.push_back(row.id);
    };
    const bool by_mark = queue == 1 && step.d % 3 == 0;
    if (queue == 2) {
      keep(session_.run<sql::ClaimLimitedJobs>(worker, number, std::int16_t{0}, 2, wanted));
    } else {
      keep(claim_jobs(worker, number, by_mark ? ClaimMarks::Range{0, 0, 0} : ClaimMarks::whole(), wanted));
    }
    std::vector<std::int64_t> expected;
    if (!process.dead && !(model_.paused && queue == 1)) expected = model_.next(queue, wanted);
    if (by_mark) {
      std::erase_if(expected, [&](std::int64_t id) { return model_.waiting.at(id).priority != 0; });
    }
    std::sort(got.begin(), got.end());
    std::sort(expected.begin(), expected.end());
    RC_ASSERT(got == expected);
    if (got.empty()) return;
    ModelClaim& claim = model_.claims[{worker, number}];
    claim.queue = queue;
    for (const std::int64_t id : got) {
      ModelJob job = model_.waiting.extract(id).mapped();
      ++job.attempt;
      RC_ASSERT(job.attempt <= job.max_attempts);
      claim.jobs.push_back(std::move(job));
    }
  }

  /// What the server says to an outcome: how many it accepted.
  std::size_t write(const ClaimKey& key, const ModelJob& job, const Outcome& outcome) {
    // As one who has not heard of the request to stop the job: the server heeds it.
    const Decision decision = decide(outcome, job.attempt, job.max_attempts, false, false,
                                     {.base = std::chrono::hours(1), .cap = std::chrono::hours(1)}, 0.5);
    const auto seq = session_.execute(
        "SELECT j.seq FROM weir.job_claim c, unnest(c.jobs) j WHERE (worker_id, number) = ($1, $2) AND j.id "
        "= $3",
        key.first, key.second, job.id);
    const std::vector<std::int64_t> seqs{seq.rows() == 0 ? job.id : seq[0].get<std::int64_t>(0)};
    const std::vector<std::string_view> actions{to_string(decision.action)};
    const std::vector<std::int64_t> delays{decision.delay / std::chrono::milliseconds(1)};
    const std::vector<std::optional<std::string_view>> texts{std::nullopt};
    return static_cast<std::size_t>(
        session_.run<sql::SettleJobs>(key.first, key.second, seqs, actions, delays, texts).size());
  }

  static Outcome outcome(int choice) {
    switch (choice % 6) {
      case 0: return Outcome::done();
      case 1: return Outcome::failed("");
      case 2: return Outcome::retry(std::chrono::hours(1), "");
      case 3: return Outcome::snoozed(std::chrono::hours(1));
      case 4: return Outcome::discarded("");
      default: return Outcome::returned();
    }
  }

  void settle(const Step& step) {
    if (model_.claims.empty()) return;
    const auto& [key, claim] =
        *std::next(model_.claims.begin(), step.a % static_cast<int>(model_.claims.size()));
    const ClaimKey which = key;
    const ModelJob job = claim.jobs[static_cast<std::size_t>(step.b) % claim.jobs.size()];
    const bool again = claim.settled.contains(job.id);
    const Outcome what = outcome(step.c);
    RC_ASSERT(write(which, job, what) == (again ? 0U : 1U));
    if (!again) {
      settled_.emplace_back(which, job);
      model_.settle(which, job.id, what);
    }
  }

  /// An outcome that comes too late, of a claim that is gone or of another process: refused.
  void stale(const Step& step) {
    if (!settled_.empty()) {
      const auto& [key, job] = settled_[static_cast<std::size_t>(step.a) % settled_.size()];
      RC_ASSERT(write(key, job, outcome(step.c)) == 0U);
    }
    if (!model_.claims.empty()) {
      const auto& [key, claim] = *model_.claims.begin();
      RC_ASSERT(write({key.first + 1000, key.second}, claim.jobs.front(), outcome(step.c)) == 0U);
    }
  }

  void finish_whole(const Step& step) {
    for (const auto& [key, claim] : model_.claims) {
      const bool plain = claim.queue == 1 && claim.settled.empty() &&
                         std::all_of(claim.jobs.begin(), claim.jobs.end(), [](const ModelJob& job) {
                           return job.unique_key.empty() && job.limit_key.empty();
                         });
      if (!plain) continue;
      const std::vector<std::int64_t> numbers{key.second};
      RC_ASSERT(session_.run<sql::FinishClaims>(key.first + 1000, numbers).size() == 0);
      RC_ASSERT(session_.run<sql::FinishClaims>(key.first, numbers).size() == 1);
      model_.ended += claim.jobs.size();
      // They were asked to stop and were done all the same.
      session_.run<sql::ForgetLateCancels>();
      for (const ModelJob& job : claim.jobs) {
        model_.cancels.erase(job.id);
        settled_.emplace_back(key, job);
      }
      model_.claims.erase(ClaimKey(key));
      return;
    }
    settle(step);
  }

  void cancel(const Step& step) {
    std::vector<std::int64_t> ids;
    for (const auto& [id, job] : model_.waiting) ids.push_back(id);
    for (const auto& [id, job] : model_.later) ids.push_back(id);
    for (const auto& [key, claim] : model_.claims)
      for (const ModelJob& job : claim.jobs)
        if (!claim.settled.contains(job.id)) ids.push_back(job.id);
    ids.push_back(999'999);
    const std::int64_t id = ids[static_cast<std::size_t>(step.a * 7 + step.b) % ids.size()];
    const auto answer = session_.execute("SELECT weir.cancel_job($1)", id);
    std::string expected = "missing";
    for (auto* home : {&model_.waiting, &model_.later}) {
      const auto found = home->find(id);
      if (found == home->end()) continue;
      const auto key = model_.keys.find({found->second.queue, found->second.unique_key});
      if (key != model_.keys.end() && key->second.job == id) model_.keys.erase(key);
      home->erase(found);
      ++model_.ended;
      expected = "cancelled";
    }
    for (const auto& [key, claim] : model_.claims) {
      for (const ModelJob& job : claim.jobs) {
        if (job.id != id || claim.settled.contains(id)) continue;
        model_.cancels.insert(id);
        expected = "stopping";
      }
    }
    RC_ASSERT(answer[0].get<std::string>(0) == expected);
  }

  /// A process falls silent, and another one does what there is to do.
  void die(const Step& step) {
    if (model_.processes.empty()) return;
    const std::int64_t id =
        std::next(model_.processes.begin(), step.a % static_cast<int>(model_.processes.size()))->first;
    session_.execute("UPDATE weir.process SET lease_until = now() - interval '1 s' WHERE id = $1", id);
    RC_ASSERT(session_.run<sql::DeclareDead>().size() == (model_.processes[id].dead ? 0 : 1));
    RC_ASSERT(session_.run<sql::RenewProcess>(id, std::int64_t{1000}).empty());
    model_.processes[id].dead = true;
    if (step.b % 2 == 0) return;  // the rescuer dies before he is done
    std::int64_t jobs = 0;
    std::vector<ClaimKey> orphans;
    for (const auto& [key, claim] : model_.claims) {
      if (!model_.processes.at(key.first).dead) continue;
      orphans.push_back(key);
      jobs += static_cast<std::int64_t>(claim.jobs.size() - claim.settled.size());
    }
    const auto rescued = session_.run<sql::RescueJobs>(100);
    RC_ASSERT(rescued.one().rescued == jobs);
    for (const ClaimKey& key : orphans) {
      for (const ModelJob& job : model_.claims.at(key).jobs) settled_.emplace_back(key, job);
      model_.rescue(key);
    }
    session_.run<sql::BuryProcesses>();
    std::erase_if(model_.processes, [](const auto& each) { return each.second.dead; });
  }

  void promote() {
    // All are due, in the order of their ids.
    session_.execute("UPDATE weir.job_later SET run_at = now() - interval '1 hour' + id * interval '1 ms'");
    const auto answer = session_.run<sql::PromoteJobs>(1000);
    RC_ASSERT(answer.one().promoted == static_cast<std::int32_t>(model_.later.size()));
    for (auto& [id, job] : std::exchange(model_.later, {})) model_.wait(job, true);
  }

  void pause() {
    model_.paused = !model_.paused;
    session_.execute("UPDATE weir.queue SET paused = $1 WHERE id = 1", model_.paused);
  }

  void replay() {
    std::vector<std::int64_t> ids;
    for (const auto& [id, job] : model_.dead) ids.push_back(id);
    session_.execute("SELECT count(*) FROM weir.replay_jobs($1)", ids);
    for (auto& [id, job] : std::exchange(model_.dead, {})) {
      job.attempt = 0;
      job.unique_key.clear();
      model_.wait(job, true);
    }
  }

  /// A process that does not know whether its last claim was carried out.
  void give_back(const Step& step) {
    const std::int64_t worker = process(step.a);
    ModelProcess& process = model_.processes.at(worker);
    const std::int64_t number = process.claims;
    session_.run<sql::ReturnClaim>(worker, number);
    const auto found = model_.claims.find({worker, number});
    if (found != model_.claims.end()) {
      const ModelClaim claim = found->second;
      for (const ModelJob& job : claim.jobs) {
        if (claim.settled.contains(job.id)) continue;
        settled_.emplace_back(ClaimKey(worker, number), job);
        model_.settle({worker, number}, job.id, Outcome::returned());
      }
    }
    // It never happens later either.
    RC_ASSERT(claim_jobs(worker, number, ClaimMarks::whole(), 10).empty());
    RC_ASSERT(session_.run<sql::ClaimLimitedJobs>(worker, number, std::int16_t{0}, 2, 10).empty());
  }

  pg::Session& session_;
  Model model_;
  std::size_t made_ = 0;
  std::vector<std::pair<ClaimKey, ModelJob>> settled_;
};

class QueueModelTest : public test::SchemaTest {};

TEST_F(QueueModelTest, RandomHistoriesLeaveTheTablesAsTheModelSays) {
  pg::Session session = this->session();
  session.execute("SELECT weir.queue_id('q1'), weir.queue_id('q2')");
  session.execute("UPDATE weir.queue SET max_running = $1, max_per_key = $2 WHERE id = 2", kMaxRunning,
                  kMaxPerKey);
  const auto small = rc::gen::inRange(0, 42);
  const auto step =
      rc::gen::map(rc::gen::tuple(rc::gen::inRange(0, 14), small, small, small, small), [](const auto& t) {
        return Step{std::get<0>(t), std::get<1>(t), std::get<2>(t), std::get<3>(t), std::get<4>(t)};
      });
  EXPECT_TRUE(rc::check("the tables are as the model says", [&] {
    const auto steps = *rc::gen::scale(0.8, rc::gen::container<std::vector<Step>>(step));
    QueueModel model(session);
    for (const Step& each : steps) model.run(each);
  }));
}

}  // namespace
}  // namespace weir::queue
