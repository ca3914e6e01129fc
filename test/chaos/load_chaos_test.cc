// `weir load` under kill -9 at random places, each mode in its turn. The same command is given again until
// its batch is done; after every death rows, rejects and state are either all those of before or all those of
// the batch.

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <map>
#include <random>
#include <set>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "pg/connector.h"
#include "schema/migrator.h"
#include "support/processes.h"
#include "support/server.h"
#include "support/tcp_gate.h"
#include "support/waiting.h"

namespace weir::load {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

constexpr int kFiles = 4;
constexpr int kLines = 400;
constexpr int kIds = 2000;

std::int64_t number_of(const char* name, std::int64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? otherwise : std::strtoll(value, nullptr, 10);
}

std::string binary() {
  const char* chosen = std::getenv("WEIR_BINARY");
  return chosen != nullptr && *chosen != '\0' ? chosen : WEIR_DEFAULT_BINARY;
}

struct Row {
  int id;
  int w;
  int v;
  auto operator<=>(const Row&) const = default;
};
using Table = std::multiset<Row>;

/// What one mode's table holds, and the batch that is on its way into it.
struct Stream {
  std::string mode;
  Table rows;
  Table next;                     ///< once the batch is there
  std::set<std::string> rejects;  ///< "file:line" of the batch
  bool lenient = false;           ///< the batch may have rejects
  std::vector<std::string> files{};
  int batch = 0;
  std::uint64_t bytes = 0;  ///< that a whole load has sent to the server
};

class LoadChaosTest : public ::testing::Test {
 protected:
  void SetUp() override {
    pg::Session session = this->session();
    schema::migrate(session);
    for (const char* mode : {"append", "upsert", "window", "refresh", "swap"}) {
      streams_.push_back({.mode = mode, .rows = {}, .next = {}, .rejects = {}});
      session.execute(fmt::format("CREATE TABLE public.t_{0} (id int {1}, w int, v int)", mode,
                                  mode == std::string("append") ? "NOT NULL" : "PRIMARY KEY"));
    }
    gate_.emplace(server_.port());
  }

  [[nodiscard]] pg::Session session() const {
    pg::Session session =
        pg::Connector(server_.conninfo(), {.users_search_path = true}).connect(pg::Role::api, "test");
    session.set("synchronous_commit", "on");
    return session;
  }
  std::int64_t number(const std::string& sql) {
    return session().execute("SELECT (" + sql + ")::int8")[0].get<std::int64_t>(0);
  }
  std::size_t below(std::size_t limit) {
    return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random_);
  }
  int one_of(int from, int to) { return from + static_cast<int>(below(static_cast<std::size_t>(to - from))); }

  /// New files, and what the table has to be once they are loaded.
  void make_batch(Stream& stream) {
    ++stream.batch;
    stream.rejects.clear();
    stream.files.clear();
    stream.lenient = stream.mode != "swap" && below(3) > 0;
    std::map<int, Row> source;
    Table appended = stream.rows;
    std::set<int> refused;
    for (int f = 0; f < kFiles; ++f) {
      stream.files.push_back(
          (folder_.path() / fmt::format("{}-{}-{}.csv", stream.mode, stream.batch, f)).string());
      std::ofstream out(stream.files.back());
      out << "id,w,v\n";
      for (int line = 2; line < kLines + 2; ++line) {
        const Row row{one_of(0, kIds), stream.mode == "window" ? one_of(100, 200) : one_of(0, 300),
                      one_of(0, 50)};
        if (stream.lenient && below(40) == 0) {
          out << row.id << ',' << row.w << ",none\n";
          stream.rejects.insert(fmt::format("{}:{}", stream.files.back(), line));
          refused.insert(row.id);
          source.erase(row.id);  // the last record of a key counts, and this one is refused
          continue;
        }
        out << row.id << ',' << row.w << ',' << row.v << '\n';
        source.insert_or_assign(row.id, row);
        appended.insert(row);
      }
    }
    if (stream.mode == "append") {
      stream.next = std::move(appended);
      return;
    }
    stream.next.clear();
    for (const auto& [id, row] : source) stream.next.insert(row);
    for (const Row& old : stream.rows) {
      const bool outside = stream.mode == "window" && (old.w < 100 || old.w >= 200);
      const bool stays = stream.mode == "upsert" || outside || refused.contains(old.id);
      if (stays && !source.contains(old.id)) stream.next.insert(old);
    }
  }

  [[nodiscard]] std::vector<std::string> words(const Stream& stream) const {
    std::vector<std::string> all{binary(), "load"};
    all.insert(all.end(), stream.files.begin(), stream.files.end());
    const auto add = [&](std::initializer_list<std::string> more) { all.insert(all.end(), more); };
    add({"--into", "t_" + stream.mode, "--mode", stream.mode, "--pipeline", "chaos", "--stream", stream.mode,
         "--state", fmt::format("{{\"batch\": {}}}", stream.batch), "--json"});
    if (stream.mode != "append") add({"--key", "id"});
    if (stream.mode != "append" && stream.mode != "upsert") add({"--allow-mass-delete"});
    if (stream.mode == "window") add({"--window", "w:100..200"});
    if (stream.lenient) add({"--max-rejects", "1000"});
    return all;
  }

  [[nodiscard]] pid_t start(const Stream& stream) const {
    const std::vector<std::string> command = words(stream);
    const std::string url = gate_->through(server_.tcp_conninfo()).url();
    const pid_t pid = ::fork();
    if (pid != 0) return pid;
    ::setenv("DATABASE_URL", url.c_str(), 1);
    const int out = ::open((folder_.path() / "log").c_str(), O_WRONLY | O_APPEND | O_CREAT, 0644);
    ::dup2(out, 1);
    ::dup2(out, 2);
    std::vector<char*> argv;
    for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }

  /// Answers its exit status: 137 if it was still there when so many bytes had passed.
  int run_and_kill_after(const Stream& stream, std::uint64_t bytes) {
    const std::uint64_t before = gate_->counts().to_server;
    const pid_t pid = start(stream);
    for (;;) {
      int status = 0;
      if (::waitpid(pid, &status, WNOHANG) == pid)
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      if (gate_->counts().to_server - before < bytes) continue;
      ::kill(pid, SIGKILL);
      return test::status_of(pid);
    }
  }

  /// What a dead process had sent is carried out to its end.
  void wait_for_the_dead() {
    test::wait_until(
        [&] {
          return number("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'weir:load:%'") ==
                 0;
        },
        "the sessions of the dead to end");
  }

  [[nodiscard]] Table content(const Stream& stream) const {
    Table rows;
    pg::Session session = this->session();
    for (const auto row : session.execute("SELECT id, w, v FROM public.t_" + stream.mode))
      rows.insert({row.get<std::int32_t>(0), row.get<std::int32_t>(1), row.get<std::int32_t>(2)});
    return rows;
  }
  [[nodiscard]] std::set<std::string> rejects(const Stream& stream) const {
    std::set<std::string> found;
    pg::Session session = this->session();
    const auto rows = session.execute(
        "SELECT j.file || ':' || j.line FROM weir.load_reject j JOIN weir.load_state s ON s.run = j.run "
        "WHERE s.stream "
        "= $1",
        stream.mode);
    for (const auto row : rows) {
      EXPECT_TRUE(found.insert(row.get<std::string>(0)).second) << "twice";
    }
    return found;
  }

  std::int64_t state_of(const Stream& stream) {
    return number("SELECT coalesce((SELECT (state->>'batch')::int8 FROM weir.load_state WHERE stream = '" +
                  stream.mode + "'), 0)");
  }

  /// True if the batch is there, whole; else nothing of it is.
  bool judge(const Stream& stream) {
    const std::int64_t at = state_of(stream);
    EXPECT_TRUE(at == stream.batch || at == stream.batch - 1)
        << stream.mode << ": " << at << " of " << stream.batch;
    const bool done = at == stream.batch;
    const Table now = content(stream);
    EXPECT_TRUE(now == (done ? stream.next : stream.rows))
        << stream.mode << " batch " << stream.batch
        << (done ? " is done, and the rows are not" : " is not done, yet rows changed") << ": " << now.size()
        << " rows, " << stream.rows.size() << " before, " << stream.next.size() << " afterwards";
    if (done) {
      EXPECT_EQ(rejects(stream), stream.rejects) << stream.mode;
    }
    EXPECT_EQ(
        number(
            "SELECT count(*) FROM weir.load_reject j WHERE NOT EXISTS (SELECT 1 FROM weir.load_run r WHERE "
            "r.id = j.run AND r.state = 'applied')"),
        0);
    return done;
  }

  /// Anywhere, or, as often, near the end: that is where the apply transaction is.
  std::uint64_t place(const Stream& stream) {
    if (below(2) == 0) return below(stream.bytes + 1);
    const std::uint64_t near = std::min<std::uint64_t>(stream.bytes, 12'000);
    return stream.bytes - below(near);
  }

  /// Counts where the process died, as the server sees it a moment later.
  void count_death(const Stream& stream) {
    const bool done = state_of(stream) == stream.batch;
    const std::int64_t chunks = number(
        "SELECT count(*) FROM weir.load_chunk c JOIN weir.load_run r ON r.id = c.run WHERE "
        "r.stream = '" +
        stream.mode + "'");
    ++deaths_[done ? 3 : chunks >= kFiles ? 2 : chunks > 0 ? 1 : 0];
  }

  void load_under_fire(Stream& stream, int& kills, int wanted) {
    make_batch(stream);
    for (int round = 0;; ++round) {
      ASSERT_LT(round, 20) << stream.mode << " never ends; see the log";
      const bool spared = stream.bytes == 0 || kills >= wanted || (round > 0 && below(2) == 0);
      const std::uint64_t before = gate_->counts().to_server;
      const int status = run_and_kill_after(stream, spared ? UINT64_MAX : place(stream));
      if (status == 128 + SIGKILL) {
        ++kills;
        count_death(stream);
        // As often as not the next one comes while the server still works on what the dead one had sent. Not
        // of an append: who looks whether its batch is there has to look when nobody works on it any more.
        if (stream.mode != "append" && below(2) == 0) {
          const int next = run_and_kill_after(stream, UINT64_MAX);
          EXPECT_TRUE(next == 0 || next == static_cast<int>(ExitCode::refused))
              << stream.mode << ": " << next;
        }
        wait_for_the_dead();
      } else {
        EXPECT_EQ(status, 0) << stream.mode;
        if (stream.bytes == 0) stream.bytes = gate_->counts().to_server - before;
      }
      const bool done = judge(stream);
      EXPECT_TRUE(done || status != 0) << stream.mode << ": it said that it was done";
      if (HasFailure()) return;
      if (!done) continue;
      stream.rows = std::move(stream.next);
      return;
    }
  }

  void expect_nothing_left() {
    EXPECT_EQ(number("SELECT count(*) FROM weir.load_chunk"), 0);
    EXPECT_EQ(number("SELECT count(*) FROM weir.load_stage_reject"), 0);
    EXPECT_EQ(number("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), 0);
    pg::Session session = this->session();
    const auto tables = session.execute(
        "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'weir_stage'::regnamespace AND "
        "relkind = 'r'");
    for (const auto table : tables) {
      const std::string name = table.get<std::string>(0);
      EXPECT_EQ(name.find("new_"), std::string::npos) << name;
      EXPECT_EQ(number("SELECT count(*) FROM " + name), 0) << name;
    }
  }

  void show_log() const {
    std::ifstream log(folder_.path() / "log");
    std::vector<std::string> lines;
    for (std::string line; std::getline(log, line);) lines.push_back(line);
    for (std::size_t n = lines.size() > 15 ? lines.size() - 15 : 0; n < lines.size(); ++n)
      fmt::print("log: {}\n", lines[n]);
  }

  test::TestServer server_;
  test::ScratchFolder folder_{"load-chaos"};
  std::optional<test::TcpGate> gate_;
  std::vector<Stream> streams_;
  std::mt19937_64 random_;
  std::array<int, 4> deaths_{};
};

TEST_F(LoadChaosTest, RowsRejectsAndStateAgreeWhereverALoadDies) {
  const auto wanted = static_cast<int>(number_of("WEIR_CHAOS_KILLS", 12));
  const auto seed = static_cast<std::uint64_t>(number_of("WEIR_CHAOS_SEED", std::random_device{}()));
  fmt::print("[ seed     ] {}\n", seed);
  random_.seed(seed);
  int kills = 0;
  for (std::size_t turn = 0; (kills < wanted || turn < streams_.size()) && !HasFailure(); ++turn)
    load_under_fire(streams_[turn % streams_.size()], kills, wanted);
  // What the dead have left in stages goes with the next load of their table.
  for (Stream& stream : streams_) {
    if (HasFailure()) break;
    load_under_fire(stream, kills, 0);
  }
  expect_nothing_left();
  if (HasFailure()) show_log();
  fmt::print(
      "chaos: seed {}, {} kills of loads: {} before their stage, {} while reading, {} behind it, {} after "
      "COMMIT\n",
      seed, kills, deaths_[0], deaths_[1], deaths_[2], deaths_[3]);
}

}  // namespace
}  // namespace weir::load
