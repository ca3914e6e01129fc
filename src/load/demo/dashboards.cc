#include "load/demo/dashboards.h"

#include <algorithm>
#include <random>
#include <utility>

#include <fmt/format.h>

#include "base/wait.h"
#include "pg/transaction.h"

namespace weir::load::demo {
namespace {

constexpr Duration kLookEvery = std::chrono::milliseconds(10);

constexpr const char* kRead =
    "SELECT count(*), coalesce(sum(mark), 0)::int8, coalesce(max(mark), 0)::int8 FROM weir_demo.rates "
    "WHERE id >= $1::int8 AND id < $2::int8";
/// The lock is there from the beginning to the end, as that of a query that reads for so long.
constexpr const char* kReport =
    "SELECT count(*), coalesce(sum(mark), 0)::int8, coalesce(max(mark), 0)::int8, pg_sleep($1::float8) "
    "FROM weir_demo.rates";
constexpr const char* kLocks =
    "SELECT l.pid, l.granted FROM pg_catalog.pg_locks l WHERE l.locktype = 'relation' "
    "AND l.relation = $1::int8::oid AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d "
    "WHERE d.datname = current_database())";

ReadRecord::Seen seen(const pg::Result& found, std::int64_t wanted) {
  const pg::Row row = found[0];
  return judge(wanted, row.get<std::int64_t>(0), row.get<std::int64_t>(1), row.get<std::int64_t>(2));
}

}  // namespace

Dashboards::Dashboards(const Scenery& scenery, const Options& options)
    : scenery_(scenery), options_(options), began_(std::chrono::steady_clock::now()), record_(options.every) {
  on_stop_.emplace(scenery.stop(), [this] { closing_.request_stop(); });
  for (int i = 0; i < options.count; ++i) {
    dashboards_.push_back(std::make_unique<Dashboard>());
    dashboards_.back()->kind = static_cast<Kind>(i % 3);
  }
  threads_.emplace_back([this] { guarded([this] { watch_locks(); }); });
  threads_.emplace_back([this] { guarded([this] { report_on(); }); });
  for (const auto& dashboard : dashboards_) {
    threads_.emplace_back([this, &dashboard = *dashboard] { guarded([&] { read_on(dashboard); }); });
  }
  MutexLock lock(mutex_);
  while (connected_ < options.count && !failure_ && !closing_.stop_requested()) sleep(lock);
}

Dashboards::~Dashboards() { close(); }

void Dashboards::close() {
  closing_.request_stop();
  threads_.clear();
}

ReadFigures Dashboards::look() {
  const SteadyTime now = std::chrono::steady_clock::now();
  const MutexLock lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
  ReadRecord record = record_;
  for (const auto& dashboard : dashboards_) {
    const SteadyTime since{Duration(dashboard->reading_since.load())};
    if (since != SteadyTime{} && since < now) record.add_pending(since - began_, now - since);
  }
  return record.figures();
}

void Dashboards::open_report() {
  MutexLock lock(mutex_);
  if (report_reads_) return;
  report_wanted_ = true;
  changed_.notify_all();
  while (!report_reads_ && !failure_ && !closing_.stop_requested()) sleep(lock);
}

void Dashboards::sleep(MutexLock& lock) {
  bool once = false;
  changed_.wait(lock, closing_.get_token(), [&once] { return std::exchange(once, true); });
}

/// The end of the dashboards is no failure of theirs.
template <class Action>
void Dashboards::guarded(Action action) {
  try {
    action();
  } catch (...) {
    if (closing_.stop_requested()) return;
    const MutexLock lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
    changed_.notify_all();
  }
}

template <class Action>
void Dashboards::timed(Dashboard& dashboard, Action action) {
  const SteadyTime begin = std::chrono::steady_clock::now();
  dashboard.met_lock = false;
  dashboard.reading_since = begin.time_since_epoch().count();
  const ReadRecord::Seen result = action();
  const Duration took = std::chrono::steady_clock::now() - begin;
  dashboard.reading_since = 0;
  const MutexLock lock(mutex_);
  record_.add(begin - began_, took, result, dashboard.met_lock);
}

void Dashboards::pause(Wakeup& wakeup) const {
  wait_fd(-1, 0, Deadline::after(options_.every), closing_.get_token(), wakeup);
}

void Dashboards::read_on(Dashboard& dashboard) {
  pg::Session session = scenery_.connect();
  session.set_stop(closing_.get_token());
  dashboard.pid = session.backend_pid();
  if (dashboard.kind == Kind::prepared) {
    session.execute_script(fmt::format("PREPARE weir_demo_page (int8, int8) AS {}", kRead));
  }
  std::minstd_rand random(static_cast<unsigned>(session.backend_pid()));
  std::uniform_int_distribution<std::int64_t> slice(0, scenery_.rows() / kSlice - 1);
  {
    const MutexLock lock(mutex_);
    ++connected_;
    changed_.notify_all();
  }
  Wakeup wakeup;
  while (!closing_.stop_requested()) {
    const std::int64_t first = slice(random) * kSlice + 1;
    if (dashboard.kind == Kind::repeatable_read) {
      // A page with several pictures of one moment: the first of them decides which, the table comes later.
      pg::Transaction page(session, {.isolation = pg::Isolation::repeatable_read, .read_only = true});
      session.execute("SELECT 1");
      pause(wakeup);
      timed(dashboard, [&] { return seen(session.execute(kRead, first, first + kSlice), kSlice); });
      page.commit();
    } else if (dashboard.kind == Kind::prepared) {
      const std::string sql = fmt::format("EXECUTE weir_demo_page ({}, {})", first, first + kSlice);
      timed(dashboard, [&] { return seen(session.execute(sql), kSlice); });
    } else {
      timed(dashboard, [&] { return seen(session.execute(kRead, first, first + kSlice), kSlice); });
    }
    pause(wakeup);
  }
}

void Dashboards::report_on() {
  pg::Session session = scenery_.connect();
  session.set_stop(closing_.get_token());
  report_pid_ = session.backend_pid();
  const double seconds = to_seconds(options_.slow);
  for (;;) {
    {
      MutexLock lock(mutex_);
      while (!report_wanted_ && !closing_.stop_requested()) sleep(lock);
      if (closing_.stop_requested()) return;
      report_wanted_ = false;
    }
    const ReadRecord::Seen result = seen(session.execute(kReport, seconds), scenery_.rows());
    const MutexLock lock(mutex_);
    record_.add_untimed(result);
  }
}

void Dashboards::watch_locks() {
  pg::Session session = scenery_.connect();
  session.set_stop(closing_.get_token());
  const pg::Result table = session.execute("SELECT 'weir_demo.rates'::regclass::oid::int8");
  const auto table_id = table[0].get<std::int64_t>(0);
  Wakeup wakeup;
  while (wait_fd(-1, 0, Deadline::after(kLookEvery), closing_.get_token(), wakeup) != WaitEnd::stopped) {
    const pg::Result locks = session.execute(kLocks, table_id);
    bool report_reads = false;
    for (const auto& lock : locks) {
      const auto pid = lock.get<std::int32_t>(0);
      const bool granted = lock.get<bool>(1);
      report_reads = report_reads || (pid == report_pid_ && granted);
      const auto dashboard = std::find_if(dashboards_.begin(), dashboards_.end(),
                                          [pid](const auto& each) { return each->pid == pid; });
      if (dashboard != dashboards_.end() && !granted) (*dashboard)->met_lock = true;
    }
    const MutexLock guard(mutex_);
    report_reads_ = report_reads;
    changed_.notify_all();
  }
}

}  // namespace weir::load::demo
