#include <map>
#include <mutex>
#include <random>

#include <fmt/format.h>

#include "load_shape_fixture.h"
#include "support/actions.h"

namespace weir::load {
namespace {

/// Four writers of one table, each load of another mode. Loads of one table come one after the other, so the
/// table has to be what they make of it in the order in which they ended.
class LoadWritersTest : public LoadShapeTest {
 protected:
  static constexpr int kWriters = 4;
  static constexpr int kRounds = 6;

  using Rows = std::map<int, std::pair<int, int>>;
  struct Done {
    Mode mode;
    Rows source;
  };

  static Rows random_rows(Mode mode, std::mt19937_64& random) {
    const auto below = [&](int limit) { return std::uniform_int_distribution<int>(0, limit - 1)(random); };
    Rows rows;
    // An append has keys of its own, for nobody looks whether they are there.
    static std::atomic<int> next_own{1'000'000};
    for (int n = 0; n < 150; ++n) {
      const int id = mode == Mode::append ? next_own++ : below(400);
      rows[id] = {mode == Mode::window ? 100 + below(100) : below(300), below(1000)};
    }
    return rows;
  }

  static void replay(const Done& load, Rows& table) {
    if (load.mode == Mode::window) {
      std::erase_if(table, [](const auto& row) { return row.second.first >= 100 && row.second.first < 200; });
    } else if (load.mode == Mode::refresh || load.mode == Mode::swap) {
      table.clear();
    }
    for (const auto& [id, values] : load.source) table[id] = values;
  }

  void write(int writer, std::uint64_t seed) {
    constexpr std::array kModes{Mode::append, Mode::upsert, Mode::window, Mode::refresh, Mode::swap};
    std::mt19937_64 random(seed + static_cast<std::uint64_t>(writer));
    for (int round = 0; round < kRounds; ++round) {
      const Mode mode = kModes[std::uniform_int_distribution<std::size_t>(0, kModes.size() - 1)(random)];
      const Rows source = random_rows(mode, random);
      std::vector<std::string> lines;
      for (const auto& [id, values] : source)
        lines.push_back(fmt::format("{},{},{}\n", id, values.first, values.second));
      std::shuffle(lines.begin(), lines.end(), random);
      std::string text = "id,w,v\n";
      for (const std::string& line : lines) text += line;
      LoadOptions options = LoadShapeTest::options(mode);
      options.staged = round % 2 == 0;
      options.spec.guard.allow_mass_delete = true;
      if (mode == Mode::window) options.spec.window = {"w", "100", "200"};
      const std::int64_t run = load_until_done(text, options);
      const std::lock_guard lock(mutex_);
      done_.emplace(run, Done{mode, source});
    }
  }

  /// A swap makes another table of it: who had looked at the one before is refused, and begins again.
  std::int64_t load_until_done(const std::string& text, const LoadOptions& options) {
    for (int attempt = 0;; ++attempt) {
      try {
        return load(csv(text), options).run;
      } catch (const Error& error) {
        if (attempt > 50 || error.exit_code() != ExitCode::refused) throw;
        EXPECT_TRUE(has(error.what(), "another table now")) << error.what();
      }
    }
  }

  std::mutex mutex_;
  std::map<std::int64_t, Done> done_;
};

TEST_F(LoadWritersTest, FourOfAnyModeDoNotDeadlockAndLoseNothing) {
  run("CREATE TABLE t (id int PRIMARY KEY, w int, v int)");
  const std::int64_t deadlocks =
      number("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()");
  const auto seed = static_cast<std::uint64_t>(std::random_device{}());
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::vector<std::jthread> writers;
  for (int writer = 0; writer < kWriters; ++writer)
    writers.push_back(test::in_background([this, writer, seed] { write(writer, seed); }));
  writers.clear();

  Rows expected;
  pg::Session session = this->session();
  const auto order =
      session.execute("SELECT id FROM weir.load_run WHERE state = 'applied' ORDER BY ended_at");
  ASSERT_EQ(order.rows(), kWriters * kRounds);
  for (const auto row : order) replay(done_.at(row.get<std::int64_t>(0)), expected);
  Rows found;
  for (const auto row : session.execute("SELECT id, w, v FROM t"))
    found[row.get<std::int32_t>(0)] = {row.get<std::int32_t>(1), row.get<std::int32_t>(2)};
  EXPECT_EQ(found, expected);
  EXPECT_EQ(number("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"), deadlocks);
  EXPECT_EQ(number("SELECT count(*) FROM weir.load_chunk"), 0);
}

}  // namespace
}  // namespace weir::load
