#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include <gtest/gtest.h>

#include "load/load.h"
#include "load/read/csv_reader.h"
#include "load/read/json_inputs.h"
#include "pg/transaction.h"
#include "support/actions.h"
#include "support/errors.h"
#include "support/load_test.h"
#include "support/waiting.h"

namespace weir::load {

using test::error_of;
using test::has;

/// Gives the records of another, and does something before one of them: what a test needs to happen there.
class InterruptedReader final : public RecordReader {
 public:
  InterruptedReader(std::unique_ptr<RecordReader> reader, std::uint64_t at, std::function<void()> then)
      : reader_(std::move(reader)), left_(at), then_(std::move(then)) {}

  [[nodiscard]] const std::vector<std::string>& columns() const override { return reader_->columns(); }
  [[nodiscard]] bool text_is_json() const override { return reader_->text_is_json(); }
  void keep_json(std::size_t column) override { reader_->keep_json(column); }
  std::optional<Record> next() override {
    if (left_-- == 0) then_();
    return reader_->next();
  }
  [[nodiscard]] ReadProgress progress() const override { return {}; }

 private:
  std::unique_ptr<RecordReader> reader_;
  std::uint64_t left_;
  std::function<void()> then_;
};

/// Whole loads of sources whose first records do not tell what comes.
class LoadShapeTest : public test::LoadTest {
 protected:
  static std::unique_ptr<RecordReader> csv(const std::string& text) {
    std::vector<Input> one;
    one.push_back(memory_input("a.csv", text));
    return std::make_unique<CsvReader>(std::move(one), CsvChoice{.header = true}, std::stop_token());
  }
  static std::unique_ptr<RecordReader> json(const std::string& text) {
    std::vector<Input> one;
    one.push_back(memory_input("a.ndjson", text));
    return std::make_unique<JsonInputs>(std::move(one), JsonOptions{.shape = JsonShape::lines},
                                        std::stop_token());
  }
  /// With a sample of two records.
  static LoadOptions options(Mode mode, Contract contract = Contract::evolve) {
    LoadOptions options{.source = "a", .target = "t", .contract = contract};
    options.spec.mode = mode;
    if (mode != Mode::append) options.spec.key = {"id"};
    options.sample_rows = 2;
    return options;
  }
  using test::LoadTest::load;
  LoadReport load(std::unique_ptr<RecordReader> reader, LoadOptions options, const std::stop_token& stop = {},
                  Load::OnProgress on_progress = {}) {
    Load load(std::make_shared<const pg::Connector>(users_connector()), std::move(reader), std::move(options),
              std::move(on_progress));
    return load.run(stop);
  }
  /// "id integer, v text"
  std::string columns(const std::string& table = "t") {
    pg::Session session = this->session();
    return session
        .execute(
            "SELECT coalesce(string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY "
            "attnum), 'none') FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT "
            "attisdropped",
            table)[0]
        .get<std::string>(0);
  }
  std::int64_t stages() {
    return number(
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'weir_stage'::regnamespace AND relkind = 'r'");
  }
};

/// Others do something to the table while it is loaded.
class LoadBesideTest : public LoadShapeTest {
 protected:
  /// Another load has the table: once somebody waits for it, it does `sql` there and ends.
  std::jthread another_load(const std::string& table, const std::string& sql,
                            const std::string& before = "SELECT 1") {
    std::atomic<bool> locked{false};
    std::jthread other = test::in_background([this, table, sql, before, &locked] {
      pg::Session session = this->session();
      pg::Transaction transaction(session);
      session.execute(
          "SELECT pg_advisory_xact_lock(hashtextextended('weir load:' || $1::text::regclass::oid::int8, 0))",
          table);
      session.execute_script(before);
      locked = true;
      pg::Session look = this->session();
      // For longer than a lock_timeout, where a test has made that short.
      test::wait_until(
          [&] {
            return look.execute(
                           "SELECT count(*)::int8 FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE "
                           "l.locktype = 'advisory' AND NOT l.granted AND a.datname = current_database() AND "
                           "clock_timestamp() - a.query_start > '20 ms'")[0]
                       .get<std::int64_t>(0) == 1;
          },
          "the load to wait");
      session.execute_script(sql);
      transaction.commit();
    });
    test::wait_until([&] { return locked.load(); }, "the other load");
    return other;
  }
};

}  // namespace weir::load
