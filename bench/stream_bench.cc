#include "stream_scene.h"
#include "suites.h"

namespace weir::bench {

std::vector<Measurement> bench_stream(Scene& scene) {
  StreamScene streams(scene);
  std::vector<Measurement> results;
  const auto add = [&](std::vector<Measurement> some) {
    for (Measurement& each : some) results.push_back(std::move(each));
  };
  if (scene.wants("produce")) add(bench_stream_produce(streams));
  if (scene.wants("consume")) add(bench_stream_consume(streams));
  if (scene.wants("held")) add({bench_stream_held(streams)});
  if (scene.wants_by_name("long")) {
    add(bench_stream_flat(streams, 50'000'000));
  } else if (scene.wants("flat")) {
    add(bench_stream_flat(streams, 8'000'000));
  }
  return results;
}

}  // namespace weir::bench
