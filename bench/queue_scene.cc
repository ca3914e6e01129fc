#include "queue_scene.h"

#include "schema/migrator.h"

namespace weir::bench {
QueueScene::QueueScene(Scene& plain)
    : plain_(plain),
      session_(plain.session()),
      functions_{{"trivial", [](const queue::JobContext&) { return work::Outcome::done(); }}} {
  schema::migrate(session_);
}

void QueueScene::fill(int jobs) {
  session_.execute("TRUNCATE weir.job, weir.job_claim");
  add(jobs);
  session_.execute("VACUUM ANALYZE weir.job");
  session_.execute("CHECKPOINT");
}

void QueueScene::add(int jobs) {
  session_.execute(
      "SELECT count(*) FROM weir.enqueue_many('bench', ARRAY(SELECT jsonb_build_object('id', n) FROM "
      "generate_series(1, $1::int4) n), 'trivial')",
      jobs);
}

std::unique_ptr<queue::Worker> QueueScene::worker(queue::WorkerOptions options) {
  return std::make_unique<queue::Worker>(
      std::make_shared<pg::Connector>(plain_.connector()),
      [this] { return std::make_unique<queue::Kinds>(functions_); }, std::move(options));
}

double QueueScene::work_off(int jobs, queue::Delivery delivery, std::size_t slots) {
  const double seconds = seconds_of([&] {
    const auto all = worker({.queues = {"bench"}, .slots = slots, .once = true, .delivery = delivery});
    all->start();
    all->wait_until_finished({});
    all->stop();
  });
  return jobs / seconds;
}

}  // namespace weir::bench
