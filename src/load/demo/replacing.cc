#include "load/demo/replacing.h"

#include <algorithm>

#include "load/load.h"
#include "pg/transaction.h"

namespace weir::load::demo {
namespace {

constexpr const char* kMyLocks =
    "SELECT l.mode FROM pg_catalog.pg_locks l WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' "
    "AND l.relation = 'weir_demo.rates'::regclass";

class Rewriting final : public Replacing {
 public:
  Rewriting(const Scenery& scenery, std::string name, std::string empty)
      : Replacing(scenery), name_(std::move(name)), empty_(std::move(empty)) {}

  [[nodiscard]] std::string name() const override { return name_; }

 protected:
  Replacement do_replace(std::int64_t generation) override {
    Replacement done;
    pg::Transaction transaction(session());
    done.rows_written += session().execute(empty_).affected();
    done.rows_written += session().execute(kInsertGeneration, scenery().rows(), generation).affected();
    LockMode strongest = LockMode::none;
    const pg::Result locks = session().execute(kMyLocks);
    for (const auto& lock : locks) {
      strongest = std::max(strongest, parse_lock_mode(lock.get<std::string_view>(0)));
    }
    done.strongest_lock = to_string(strongest);
    transaction.commit();
    return done;
  }

 private:
  std::string name_;
  std::string empty_;
};

class Refreshing final : public Replacing {
 public:
  using Replacing::Replacing;

  [[nodiscard]] std::string name() const override { return "Weir, refresh"; }

 protected:
  Replacement do_replace(std::int64_t generation) override {
    LoadOptions options;
    options.source = "weir demo readers";
    options.target = kTable;
    options.spec.mode = Mode::refresh;
    options.spec.key = {kKey};
    Load load(scenery().connector(), std::make_unique<GenerationReader>(scenery().rows(), generation),
              options);
    const LoadReport report = load.run(scenery().stop());
    Replacement done;
    if (report.applied) {
      done.rows_written = report.applied->inserted + report.applied->updated + report.applied->deleted;
      done.strongest_lock = to_string(report.applied->strongest_lock);
    }
    return done;
  }
};

}  // namespace

pg::Session& Replacing::session() {
  if (!session_) session_.emplace(scenery_.connect());
  return *session_;
}

Replacement Replacing::replace(std::int64_t generation) {
  const auto wal = [this] {
    return session()
        .execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::int8")[0]
        .get<std::int64_t>(0);
  };
  const std::int64_t before = wal();
  Replacement done = do_replace(generation);
  done.wal_bytes = wal() - before;
  return done;
}

std::int64_t Replacing::table_bytes() {
  return session().execute("SELECT pg_total_relation_size('weir_demo.rates')")[0].get<std::int64_t>(0);
}

std::unique_ptr<Replacing> by_truncate(const Scenery& scenery) {
  return std::make_unique<Rewriting>(scenery, "TRUNCATE + INSERT", "TRUNCATE weir_demo.rates");
}
std::unique_ptr<Replacing> by_delete(const Scenery& scenery) {
  return std::make_unique<Rewriting>(scenery, "DELETE + INSERT", "DELETE FROM weir_demo.rates");
}
std::unique_ptr<Replacing> by_refresh(const Scenery& scenery) {
  return std::make_unique<Refreshing>(scenery);
}

}  // namespace weir::load::demo
