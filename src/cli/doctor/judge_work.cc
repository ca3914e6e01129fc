#include "cli/doctor/judge_work.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"

namespace weir::cli {
namespace {

using namespace std::chrono_literals;

/// A process that has just died is rescued within a lease and a third.
constexpr Duration kRescued = 1min;
constexpr Duration kLongWait = 5min;
constexpr Duration kLateAlert = 10min;
/// A scan of fewer rows costs less than an index would.
constexpr std::int64_t kRowsOfScan = 5'000;
constexpr std::int64_t kManyScans = 100;
constexpr std::int64_t kManyDead = 50'000;
constexpr std::int64_t kManyLetters = 10'000;
constexpr double kFullQueue = 0.1;
constexpr std::int64_t kLargeIndex = std::int64_t{100} << 20U;

std::string count(std::int64_t number, std::string_view one) {
  return fmt::format("{} {}{}", human_count(number), one, number == 1 ? "" : "s");
}

std::string span(std::optional<Duration> value) { return human_duration(value.value_or(Duration::zero())); }

std::string bytes(std::int64_t value) { return human_bytes(static_cast<std::uint64_t>(value)); }

constexpr std::string_view kStartWorker =
    "Start weir up in the project's folder, or weir worker on another host.";

Finding judge_pool(const PoolFact& pool, bool anybody) {
  Finding finding{.check = "pools"};
  const std::string limit = pool.slots
                                ? fmt::format("{} of {}", human_count(pool.taken), count(*pool.slots, "slot"))
                                : fmt::format("{} (it has no limit)", count(pool.taken, "slot"));
  finding.message = fmt::format(
      "{}: {} taken by {}; ready are {}, which want {}{}; {} deployed for it", pool.name, limit,
      count(pool.running, "task"), human_count(pool.ready), human_count(pool.wanted),
      pool.ready > 0 ? ", the first for " + span(pool.waits) : std::string(), count(pool.users, "task"));
  const bool full = pool.slots && pool.taken >= *pool.slots;
  if (pool.slots && pool.widest && *pool.widest > *pool.slots) {
    finding.verdict = Verdict::warn;
    finding.message += fmt::format("; one of these wants {} slots, and runs alone", *pool.widest);
    finding.remedy = "Give the pool so many slots in weir.yml, or the task fewer.";
  } else if (pool.ready > 0 && pool.waits.value_or(Duration::zero()) > kLongWait && anybody) {
    finding.verdict = Verdict::warn;
    finding.remedy =
        full ? "More slots in weir.yml, if what the pool protects bears it. weir explain RUN/TASK says who "
               "holds them."
             : "The processes have no slot free: more of them (weir worker), or --slots.";
  }
  return finding;
}

}  // namespace

Finding judge_processes(const WorkFacts& facts) {
  Finding finding{.check = "processes"};
  finding.message =
      fmt::format("{} live, {} of them on pipelines", human_count(facts.living), human_count(facts.working));
  if (facts.dead_with_claims == 0) {
    finding.message += "; none that is dead holds anything";
    return finding;
  }
  finding.message +=
      fmt::format("; {} dead, for {}, and {} not taken back: {}, {}", human_count(facts.dead_with_claims),
                  span(facts.overdue), facts.dead_with_claims == 1 ? "has" : "have",
                  count(facts.dead_tasks, "task"), count(facts.dead_jobs, "job"));
  if (facts.living == 0) {
    finding.verdict = Verdict::fail;
    finding.remedy = fmt::format("{} The next process takes them over.", kStartWorker);
  } else if (facts.overdue.value_or(Duration::zero()) > kRescued) {
    finding.verdict = Verdict::warn;
    finding.remedy =
        "Those that live should have taken them over: see their logs for 'a round of housekeeping failed'.";
  }
  return finding;
}

Finding judge_schedules(const WorkFacts& facts) {
  Finding finding{.check = "schedules"};
  finding.message = fmt::format("{}, {} on a schedule, {} paused", count(facts.pipelines, "pipeline"),
                                human_count(facts.scheduled), human_count(facts.paused));
  std::int64_t ready = 0;
  Duration oldest = Duration::zero();
  for (const PoolFact& pool : facts.pools) {
    ready += pool.ready;
    oldest = std::max(oldest, pool.waits.value_or(Duration::zero()));
  }
  const bool waiting = facts.due > 0 || facts.untold > 0 || ready > 0;
  if (facts.working == 0 && waiting) {
    finding.verdict = Verdict::fail;
    finding.message +=
        fmt::format("; nobody works on them: {} due since {}, {} ready since {}", human_count(facts.due),
                    span(facts.due_for), count(ready, "task"), human_duration(oldest));
    finding.remedy = std::string(kStartWorker);
  } else if (facts.due > 0 || facts.untold > 0) {
    finding.verdict = Verdict::warn;
    finding.message +=
        fmt::format("; {} should have begun {} ago, {} ended more than a minute ago and nobody went on",
                    human_count(facts.due), span(facts.due_for), count(facts.untold, "task"));
    finding.remedy = "The processes are behind, or cannot write: see their logs.";
  } else {
    finding.message += "; nothing is overdue";
  }
  return finding;
}

Findings judge_pools(const WorkFacts& facts) {
  Findings findings;
  for (const PoolFact& pool : facts.pools) {
    Finding finding = judge_pool(pool, facts.working > 0);
    if (pool.slots || finding.verdict != Verdict::ok) findings.push_back(std::move(finding));
  }
  if (findings.empty()) {
    findings.push_back(
        {.check = "pools",
         .message = fmt::format("{}, none with a limit",
                                count(static_cast<std::int64_t>(facts.pools.size()), "pool"))});
  }
  return findings;
}

Finding judge_letters(const WorkFacts& facts) {
  Finding finding{.check = "letters"};
  if (facts.letters == 0) {
    finding.message = "no job was given up";
    return finding;
  }
  const bool all = facts.letters < WorkFacts::kMostLetters;
  finding.message = fmt::format("{}{} given up, the first {} ago", all ? "" : "at least ",
                                count(facts.letters, "job"), span(facts.letters_since));
  if (facts.letters_unbounded < kManyLetters) return finding;
  finding.verdict = Verdict::warn;
  finding.message += fmt::format("; {}{} of queues that keep them for ever, most of {}",
                                 facts.letters_unbounded < WorkFacts::kMostLetters ? "" : "at least ",
                                 human_count(facts.letters_unbounded), printable(facts.letters_of));
  finding.remedy =
      "weir job dead says why; weir job replay starts them again, weir job drop drops them. By age: weir "
      "queue set QUEUE keep_dead=30.";
  return finding;
}

Finding judge_sleepers(const WorkFacts& facts) {
  Finding finding{.check = "sleepers"};
  finding.message = fmt::format("{} of groups; the server's queue of notifications is {:.1f} % full",
                                count(facts.sleeping, "idle consumer"), 100 * facts.notify_queue);
  if (facts.frozen > 0) {
    finding.verdict = Verdict::warn;
    finding.message +=
        fmt::format("; {} frozen, the session {} at {} for {}: what is notified there waits for it",
                    human_count(facts.frozen), facts.frozen_pid.value_or(0), printable(facts.frozen_at),
                    span(facts.silent));
    finding.remedy = fmt::format(
        "Any other consumer of the same role ends it within seconds. Where there is none, end its process, "
        "or SELECT pg_terminate_backend({});",
        facts.frozen_pid.value_or(0));
  }
  if (facts.notify_queue < kFullQueue) return finding;
  finding.verdict = Verdict::warn;
  finding.message += "; somebody listens and does not take what comes";
  if (!finding.remedy.empty()) finding.remedy += " ";
  finding.remedy +=
      "Once the queue is full, commits that notify fail. A session that listens, and is in a transaction for "
      "long or frozen, keeps it: the server's log names it from half on; pg_terminate_backend ends it.";
  return finding;
}

Finding judge_alerts(const WorkFacts& facts) {
  Finding finding{.check = "alerts"};
  const bool stuck = facts.alerts_waiting > 0 && facts.alerts_wait.value_or(Duration::zero()) > kLateAlert;
  finding.message = facts.alerts_waiting == 0
                        ? std::string("none waits")
                        : fmt::format("{} on the way, the first for {}", human_count(facts.alerts_waiting),
                                      span(facts.alerts_wait));
  finding.message += fmt::format("; {} given up within a week", human_count(facts.alerts_given_up));
  if (!stuck && facts.alerts_given_up == 0) return finding;
  finding.verdict = Verdict::warn;
  if (!facts.alert_error.empty())
    finding.message += fmt::format(" (the last: {})", elide(facts.alert_error, 120));
  finding.remedy = "weir alerts lists them; weir alerts --again sends once more what was given up.";
  return finding;
}

Finding judge_history(const WorkFacts& facts) {
  Finding finding{.check = "history"};
  std::int64_t size = 0;
  int ahead = 1'000'000;
  int kept = 0;
  int keep = 0;
  for (const HistoryFact& table : facts.history) {
    size += table.bytes;
    ahead = std::min(ahead, table.days_ahead.value_or(-1));
    kept = std::max(kept, table.days_kept.value_or(0));
    keep = table.keep_days;
  }
  if (facts.history.size() < 4) ahead = -1;
  finding.message = fmt::format("of runs: {} of {} days are kept, {} are made ahead, {}", kept, keep,
                                std::max(ahead, 0), bytes(size));
  if (ahead < 0) {
    finding.verdict = Verdict::fail;
    finding.message += "; there is no partition for today, so no run can end";
  } else if (ahead < 2) {
    finding.verdict = Verdict::warn;
    finding.message += "; a process that works makes a week, and has not for days";
  } else if (kept > keep + 2) {
    finding.verdict = Verdict::warn;
    finding.message += "; the oldest should be gone: somebody reads them whenever they are to be dropped";
  }
  if (finding.verdict != Verdict::ok) finding.remedy = "SELECT weir.keep_run_history(); does it now.";
  return finding;
}

Findings judge_tables(const WorkFacts& facts) {
  Findings findings;
  for (const TableFact& table : facts.tables) {
    const std::int64_t each = table.seq_scans == 0 ? 0 : table.seq_rows / table.seq_scans;
    if (table.seq_scans >= kManyScans && each >= kRowsOfScan) {
      findings.push_back(
          {.check = "tables",
           .verdict = Verdict::warn,
           .message =
               fmt::format("weir.{}: {} sequential scans read {} rows each, {} were by index", table.name,
                           human_count(table.seq_scans), human_count(each), human_count(table.index_scans)),
           .remedy = fmt::format("ANALYZE weir.{0}; if they go on, EXPLAIN what reads it. SELECT "
                                 "pg_stat_reset(); counts anew.",
                                 table.name)});
    }
    if (table.dead >= kManyDead && table.dead > table.live) {
      findings.push_back(
          {.check = "tables",
           .verdict = Verdict::warn,
           .message =
               fmt::format("weir.{}: {} dead rows beside {} living ones, in {}; vacuumed {}", table.name,
                           human_count(table.dead), human_count(table.live), bytes(table.bytes),
                           table.vacuumed ? human_duration(*table.vacuumed) + " ago" : "never"),
           .remedy = fmt::format("See `snapshots`: an old transaction keeps them. Else: VACUUM weir.{};",
                                 table.name)});
    }
  }
  if (!findings.empty()) return findings;
  std::int64_t scans = 0;
  std::int64_t by_index = 0;
  const TableFact* deadest = nullptr;
  for (const TableFact& table : facts.tables) {
    scans += table.seq_scans;
    by_index += table.index_scans;
    if (deadest == nullptr || table.dead > deadest->dead) deadest = &table;
  }
  findings.push_back(
      {.check = "tables",
       .message = fmt::format("{} looks by index, {} sequential scans, none of many rows; most dead "
                              "rows: {} in weir.{}",
                              human_count(by_index), human_count(scans),
                              human_count(deadest == nullptr ? 0 : deadest->dead),
                              deadest == nullptr ? "-" : deadest->name)});
  return findings;
}

Finding judge_indexes(const WorkFacts& facts) {
  Finding finding{.check = "indexes"};
  std::int64_t unused = 0;
  std::int64_t size = 0;
  std::vector<std::string> large;
  for (const IndexFact& index : facts.indexes) {
    if (index.scans > 0 || index.is_constraint) continue;
    ++unused;
    size += index.bytes;
    if (index.bytes >= kLargeIndex)
      large.push_back(fmt::format("weir.{} ({})", index.name, bytes(index.bytes)));
  }
  finding.message =
      fmt::format("{} of {} were not used since the statistics were reset, {} in all", human_count(unused),
                  human_count(static_cast<std::int64_t>(facts.indexes.size())), bytes(size));
  if (large.empty()) return finding;
  finding.verdict = Verdict::warn;
  finding.message += fmt::format("; large ones: {}", fmt::join(large, ", "));
  finding.remedy =
      "They cost every write. They may serve commands that nobody has used yet: leave them where they belong "
      "to a "
      "migration, and tell us.";
  return finding;
}

Findings judge_work(const WorkFacts& facts) {
  Findings all{judge_processes(facts), judge_schedules(facts)};
  const auto add = [&](const Findings& some) { all.insert(all.end(), some.begin(), some.end()); };
  add(judge_pools(facts));
  all.push_back(judge_letters(facts));
  all.push_back(judge_sleepers(facts));
  all.push_back(judge_alerts(facts));
  all.push_back(judge_history(facts));
  add(judge_tables(facts));
  all.push_back(judge_indexes(facts));
  return all;
}

}  // namespace weir::cli
