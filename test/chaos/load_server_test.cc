// The server goes away at every moment of a load, one after the other: killed, or restarted with its sessions
// thrown out. The same load is run again, and in the end it was done once.

#include <algorithm>

#include <gtest/gtest.h>
#include <fmt/format.h>

#include "load/load.h"
#include "load/read/csv_reader.h"
#include "pg/transaction.h"
#include "schema/migrator.h"
#include "support/server.h"

namespace weir::load {
namespace {

/// Tells of every so many records.
class CountingReader final : public RecordReader {
 public:
  CountingReader(std::unique_ptr<RecordReader> reader, std::function<void()> moment)
      : reader_(std::move(reader)), moment_(std::move(moment)) {}
  [[nodiscard]] const std::vector<std::string>& columns() const override { return reader_->columns(); }
  [[nodiscard]] bool text_is_json() const override { return reader_->text_is_json(); }
  std::optional<Record> next() override {
    auto record = reader_->next();
    if (!record || ++records_ % 400 == 0) moment_();
    return record;
  }
  [[nodiscard]] ReadProgress progress() const override { return {}; }

 private:
  std::unique_ptr<RecordReader> reader_;
  std::function<void()> moment_;
  int records_ = 0;
};

class LoadServerTest : public ::testing::TestWithParam<std::pair<Mode, bool>> {
 protected:
  static constexpr int kRows = 1200;

  void SetUp() override {
    pg::Session session = this->session();
    schema::migrate(session);
    switch (mode()) {
      case Mode::append: session.execute("CREATE TABLE public.t (id int NOT NULL, v int)"); break;
      case Mode::scd2:
        session.execute(
            "CREATE TABLE public.t (id int, v int, valid_from timestamptz, valid_to timestamptz)");
        session.execute("CREATE UNIQUE INDEX ON public.t (id) WHERE valid_to IS NULL");
        break;
      case Mode::partition_swap:
        session.execute("CREATE TABLE public.t (id int PRIMARY KEY, v int) PARTITION BY RANGE (id)");
        session.execute("CREATE TABLE public.t_part PARTITION OF public.t FOR VALUES FROM (0) TO (100000)");
        break;
      default: session.execute("CREATE TABLE public.t (id int PRIMARY KEY, v int)");
    }
  }
  [[nodiscard]] static Mode mode() { return GetParam().first; }
  [[nodiscard]] pg::Session session() const {
    pg::Session session = connector().connect(pg::Role::api, "test");
    session.set("synchronous_commit", "on");
    return session;
  }
  [[nodiscard]] pg::Connector connector() const { return {server_.conninfo(), {.users_search_path = true}}; }

  /// The rows of one batch; the third of each hundred is none.
  [[nodiscard]] static std::string rows_of(int batch) {
    std::string text = "id,v\n";
    for (int n = 0; n < kRows; ++n) {
      text +=
          n % 100 == 2 && rejects() > 0 ? fmt::format("{},none\n", n) : fmt::format("{},{}\n", n, n + batch);
    }
    return text;
  }
  [[nodiscard]] static std::int64_t rejects() {
    const bool replaces = mode() == Mode::swap || mode() == Mode::partition_swap;
    return replaces || !GetParam().second ? 0 : kRows / 100;
  }

  [[nodiscard]] LoadOptions options(int batch) const {
    LoadOptions options{.source = "rows", .target = "t", .pipeline = "p", .stream = "s"};
    options.spec.mode = mode();
    if (mode() != Mode::append) options.spec.key = {"id"};
    if (mode() == Mode::window) options.spec.window = {"id", "0", "100000"};
    if (mode() == Mode::partition_swap) options.spec.partition = "t_part";
    options.spec.rejects.rows = rejects();
    options.state = fmt::format("{{\"batch\": {}}}", batch);
    options.staged = GetParam().second;
    options.chunk_bytes = 1;
    options.sample_rows = 10;
    if (options.staged) options.fingerprint = fmt::format("rows {}", batch);
    // Not so long that the test would wait for it: a server that is back has ended what it had.
    options.apply.target_wait = std::chrono::seconds(20);
    return options;
  }

  /// True if the server went away at that moment.
  bool load(int batch, int at) {
    int moments = 0;
    bool gone = false;
    const auto moment = [&] {
      if (moments++ != at) return;
      gone = true;
      if (at % 2 == 0) {
        server_.kill();
        server_.start();
      } else {
        server_.restart();
      }
    };
    std::vector<Input> one;
    one.push_back(memory_input("rows.csv", rows_of(batch)));
    Load load(std::make_shared<const pg::Connector>(connector()),
              std::make_unique<CountingReader>(
                  std::make_unique<CsvReader>(std::move(one), CsvChoice{.header = true}, std::stop_token()),
                  moment),
              options(batch), [&](const LoadProgress& progress) {
                if (progress.phase != LoadProgress::Phase::stage) moment();
              });
    try {
      load.run({});
    } catch (const Error& error) {
      EXPECT_TRUE(gone) << error.what();
    }
    return gone;
  }

  std::int64_t number(const std::string& sql) {
    return session().execute("SELECT (" + sql + ")::int8")[0].get<std::int64_t>(0);
  }
  std::int64_t batch() {
    return number("SELECT coalesce((SELECT (state->>'batch')::int8 FROM weir.load_state), 0)");
  }
  /// Whole batches, and each of them once.
  void judge(int done) {
    const std::int64_t good = kRows - rejects();
    const bool adds = mode() == Mode::append || mode() == Mode::scd2;
    const std::int64_t rows = adds ? good * done : done == 0 ? 0 : good;
    EXPECT_EQ(number("SELECT count(*) FROM t"), rows);
    const std::string now = mode() == Mode::scd2 ? "valid_to IS NULL AND " : "";
    if (mode() != Mode::append) {
      EXPECT_EQ(number(fmt::format("SELECT count(*) FROM t WHERE {}v <> id + {}", now, done)), 0);
    }
    if (mode() == Mode::scd2) {
      EXPECT_EQ(number("SELECT count(*) FROM t WHERE valid_to IS NULL"), done == 0 ? 0 : good);
      EXPECT_EQ(number("SELECT count(*) FROM (SELECT id, v FROM t GROUP BY id, v HAVING count(*) > 1) d"), 0);
    }
    EXPECT_EQ(number("SELECT count(*) FROM weir.load_reject"), rejects() * done);
    EXPECT_EQ(number("SELECT count(*) FROM weir.load_run WHERE state = 'applied'"), done);
  }

  test::TestServer server_;
};

TEST_P(LoadServerTest, ALoadIsDoneOnceWheneverTheServerGoes) {
  int batch = 0;
  for (int at = 0;; ++at) {
    ++batch;
    const bool gone = load(batch, at);
    for (int again = 0; this->batch() != batch && again < 3; ++again) {
      judge(batch - 1);
      load(batch, -1);
    }
    ASSERT_EQ(this->batch(), batch) << "at moment " << at;
    judge(batch);
    if (HasFailure() || !gone) break;
  }
  EXPECT_GE(batch, 5) << "that many moments there are";
  EXPECT_EQ(number("SELECT count(*) FROM weir.load_chunk"), 0);
  EXPECT_EQ(number("SELECT count(*) FROM pg_class WHERE relname LIKE 'new\\_%'"), 0);
}

INSTANTIATE_TEST_SUITE_P(Modes, LoadServerTest,
                         ::testing::Values(std::pair{Mode::refresh, true}, std::pair{Mode::append, true},
                                           std::pair{Mode::append, false}, std::pair{Mode::swap, true},
                                           std::pair{Mode::upsert, true}, std::pair{Mode::window, true},
                                           std::pair{Mode::scd2, true},
                                           std::pair{Mode::partition_swap, true}),
                         [](const auto& which) {
                           std::string name(to_string(which.param.first));
                           std::ranges::replace(name, '-', '_');
                           return name + (which.param.second ? "" : "_direct");
                         });

}  // namespace
}  // namespace weir::load
