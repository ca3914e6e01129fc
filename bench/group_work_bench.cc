#include <fmt/format.h>

#include "group_scene.h"

namespace weir::bench {
namespace {

constexpr int kTenants = 50;
constexpr int kGroupsEach = 40;
constexpr int kBatchesEach = 10;
constexpr int kBatches = kTenants * kGroupsEach * kBatchesEach;
constexpr int kClients = 16;

void make_bare(GroupScene& scene) {
  scene.session().execute_script(
      fmt::format("DROP TABLE IF EXISTS bare; CREATE TABLE bare (id bigint GENERATED ALWAYS AS IDENTITY "
                  "PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), tenant text NOT NULL, key text NOT "
                  "NULL, idx int NOT NULL, payload jsonb NOT NULL); TRUNCATE public.effect;"
                  "INSERT INTO bare (tenant, key, idx, payload) SELECT 't' || n % {0}, 'k' || n % {1}, n, "
                  "jsonb_build_object('n', n) FROM generate_series(1, {2}) n",
                  kTenants, kGroupsEach, kBatches));
  scene.session().execute("VACUUM ANALYZE bare");
  scene.session().execute("CHECKPOINT");
}

/// Neither order nor owner, attempts or history: what the server takes for the effect and its mark alone.
constexpr const char* kTakeOne = R"(BEGIN;
SELECT id, idx FROM bare ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED \gset
INSERT INTO public.effect (run_id, idx) VALUES (:id, :idx);
DELETE FROM bare WHERE id = :id;
END;
)";

}  // namespace

std::vector<Measurement> bench_group_work(GroupScene& scene) {
  const auto consume = [&](const group::SinkFactory& sinks, group::Ownership ownership) {
    scene.make({"s"});
    scene.submit("t", kTenants, kGroupsEach, kBatchesEach);
    return scene.consume("s", sinks, ownership);
  };
  // Each takes half a minute where the disk is slow; the bare one is run before and after ours.
  const auto bare = [&] {
    make_bare(scene);
    return scene.plain().pgbench("bare", kTakeOne, kClients, kBatches / kClients);
  };
  const double before = bare();
  const double locked = consume(inside_sink(), group::Ownership::advisory);
  const double leased = consume(inside_sink(), group::Ownership::lease);
  const double outside = consume(outside_sink(), group::Ownership::advisory);
  const double theirs = (before + bare()) / 2;
  const std::string against = fmt::format(
      "FOR UPDATE SKIP LOCKED, INSERT, DELETE, a transaction each, pgbench, 16 clients ({:.0f}/s)", theirs);
  return {{.name = "batches of 2,000 groups, 16 at a time, INSERT in the batch's transaction, by lock",
           .value = locked,
           .unit = "batches/s",
           .ratio = locked / theirs,
           .against = against},
          {.name = "the same, by lease",
           .value = leased,
           .unit = "batches/s",
           .ratio = leased / theirs,
           .against = against},
          {.name = "the same, outside of it, a sink that does nothing",
           .value = outside,
           .unit = "batches/s",
           .ratio = outside / theirs,
           .against = against}};
}

}  // namespace weir::bench
