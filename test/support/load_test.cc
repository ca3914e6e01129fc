#include "support/load_test.h"

#include "pg/copy.h"

namespace weir::test {

using load::Stage;

std::function<pg::Session()> LoadTest::connect() const {
  return [connector = users_connector()] { return connector.connect(pg::Role::load, "test"); };
}

load::Target LoadTest::target(const std::string& table, const std::string& partition) {
  pg::Session session = this->session();
  auto found = load::describe_target(session, table, partition);
  if (!found) throw std::runtime_error("there is no table " + table);
  return std::move(*found);
}

Stage::Sealed LoadTest::fill(Stage& stage, const std::string& rows, const std::vector<load::Reject>& rejects,
                             const std::string& rejected_keys) {
  pg::Session session = this->session();
  pg::Session source = this->session();
  std::string sql = "SELECT v.*, row_number() OVER () AS weir_line, 0::int8 FROM (" + rows + ") v";
  if (!rejected_keys.empty()) {
    sql = "(" + sql + ") UNION ALL SELECT v.*, 0::int8, " + std::to_string(load::StageChunk::key_only(0)) +
          "::int8 FROM (" + rejected_keys + ") v";
  }
  {
    pg::CopyOut out(source, "COPY (" + sql + ") TO STDOUT (FORMAT binary)");
    load::StageChunk chunk(session, stage, 0);
    while (const auto bytes = out.next()) chunk.write(*bytes);
    chunk.commit(R"({"file": "a.csv"})", rejects);
  }
  return stage.seal(session, 1);
}

Stage::Sealed LoadTest::stage(const load::Target& target, const load::LoadSpec& spec, const std::string& rows,
                              const std::vector<load::Reject>& rejects, const std::string& rejected_keys) {
  pg::Session holder = this->session();
  const std::int64_t run =
      load::begin_run(holder, {.source = "test", .fingerprint = "test"}, target, spec.mode);
  Stage stage = Stage::open(holder, target, spec, run);
  return fill(stage, rows, rejects, rejected_keys);
}

load::Applied LoadTest::load(const std::string& table, const load::LoadSpec& spec, const std::string& rows,
                             const load::ApplyOptions& options) {
  const load::Target described = target(table, spec.partition);
  load::make_plan(described, spec, {.sql = "stage"}, 150000).require();
  pg::Session holder = this->session();
  const std::int64_t run =
      load::begin_run(holder, {.source = "test", .fingerprint = "test"}, described, spec.mode);
  Stage stage = Stage::open(holder, described, spec, run);
  const Stage::Sealed sealed = fill(stage, rows, {}, {});
  return load::apply(connect(), described, spec, sealed, std::nullopt, options);
}

std::string LoadTest::rows(const std::string& sql) {
  pg::Session session = this->session();
  const pg::Result all = session.execute(
      "SELECT coalesce(string_agg(replace(trim(both '()' from r::text), ',', '|'), ',' ORDER BY n), '') FROM "
      "(SELECT "
      "r, row_number() OVER () AS n FROM (" +
      sql + ") r) x");
  return all[0].get<std::string>(0);
}

std::int64_t LoadTest::number(const std::string& sql) {
  return session().execute("SELECT (" + sql + ")::int8")[0].get<std::int64_t>(0);
}

void LoadTest::run(const std::string& sql) { session().execute_script(sql); }

}  // namespace weir::test
