#pragma once

#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "stream/adopt.h"
#include "support/errors.h"
#include "support/stream_test.h"

namespace weir::stream {

struct Shape {
  std::string name;
  std::string sql;
};

inline void PrintTo(const Shape& shape, std::ostream* out) { *out << shape.name; }

inline const Shape kPlain{
    "plain",
    "CREATE TABLE events (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int, at "
    "timestamptz NOT NULL DEFAULT now(), seen_at timestamptz)"};
/// By time, then by number; one of them has a name of 63 bytes.
inline const Shape kParted{
    "partitioned",
    "CREATE TABLE events (id bigserial, n int, at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (id, at)) "
    "PARTITION BY RANGE (at); CREATE TABLE old PARTITION OF events FOR VALUES FROM (MINVALUE) TO "
    "('2026-01-01');"
    "CREATE SCHEMA parts; CREATE TABLE parts.new PARTITION OF events FOR VALUES FROM ('2026-01-01') TO "
    "('9999-01-01') PARTITION BY HASH (id);"
    "CREATE TABLE parts.new_0123456789_0123456789_0123456789_0123456789_0123456789_a PARTITION OF parts.new "
    "FOR "
    "VALUES WITH (MODULUS 2, REMAINDER 0);"
    "CREATE TABLE parts.new_0123456789_0123456789_0123456789_0123456789_0123456789_b PARTITION OF parts.new "
    "FOR "
    "VALUES WITH (MODULUS 2, REMAINDER 1);"};

class StreamAdoptFixture : public test::StreamTest {
 protected:
  void make(const Shape& shape, int rows) {
    one_->execute_script(shape.sql);
    add(*one_, rows, "now() - interval '400 days' * (n % 3)");
    one_->execute("CREATE TABLE effect (id bigint, grp text DEFAULT 'all')");
  }
  static void add(pg::Session& session, int rows, const std::string& at = "now()") {
    session.execute("INSERT INTO events (n, at) SELECT n, " + at + " FROM generate_series(1, $1::int4) n",
                    rows);
  }
  AdoptReport adopt(const AdoptOptions& options = {}, AdoptRequest request = {.table = "events"}) {
    request.chunk_events = 100;
    pg::Session session = this->session();
    return adopt_stream(session, request, options);
  }
  [[nodiscard]] std::vector<AdoptStep> steps() const {
    pg::Session session = this->session();
    return plan_adoption(session, {.table = "events"}).steps;
  }
  /// Interrupts an adoption before its nth step.
  void adopt_up_to(int step) {
    int begun = 0;
    AdoptOptions options;
    options.on_step = [&](const AdoptStep&) {
      if (++begun == step) throw std::runtime_error("interrupted");
    };
    EXPECT_THROW(adopt(options), std::runtime_error);
  }
  void consume(const std::string& group = "all") {
    work_off(*by_sql({.group = group, .from = WallTime::min(), .once = true},
                     "INSERT INTO effect SELECT id, '" + group + "' FROM weir_chunk"));
  }
  void expect_each_once(const std::string& group = "all") {
    const std::string had = "SELECT count(*) FROM effect WHERE grp = '" + group + "'";
    EXPECT_EQ(number(had), number("SELECT count(*) FROM events"));
    EXPECT_EQ(
        number("SELECT count(*) FROM (SELECT id FROM events EXCEPT SELECT id FROM effect WHERE grp = '" +
               group + "') e"),
        0);
  }
  std::string refusal(const std::string& table, AdoptRequest request = {}) {
    request.table = table;
    const Error error = test::error_of([&] { static_cast<void>(plan_adoption(*one_, request)); });
    return std::string(error.what()) + " | " + error.remedy();
  }
  [[nodiscard]] std::string text(const std::string& sql) const {
    return session().execute(sql)[0].get<std::string>(0);
  }
};

}  // namespace weir::stream
