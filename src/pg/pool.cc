#include "pg/pool.h"

#include <utility>

#include "pg/pool_core.h"

namespace weir::pg {

Pool::Pool(std::shared_ptr<const Connector> connector, PoolOptions options)
    : core_(std::make_shared<PoolCore>(std::move(connector), std::move(options))) {}

Pool::~Pool() { core_->shut(); }

Lease Pool::lease(const Limit& limit) {
  const std::shared_ptr<PoolCore> core = core_;  // the pool may go while we wait or connect
  return core->lease(limit);
}
void Pool::close_all() noexcept { core_->close_all(); }
PoolStats Pool::stats() const { return core_->stats(); }
const Histogram& Pool::waits() const noexcept { return core_->waits(); }

Lease::Lease(std::shared_ptr<PoolCore> core, Session session, SessionAge age) noexcept
    : core_(std::move(core)), session_(std::move(session)), age_(age) {}

Lease::Lease(Lease&& other) noexcept
    : core_(std::move(other.core_)),
      session_(std::exchange(other.session_, std::nullopt)),
      age_(other.age_) {}

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  give_back(true);
  core_ = std::move(other.core_);
  session_ = std::exchange(other.session_, std::nullopt);
  age_ = other.age_;
  return *this;
}

Lease::~Lease() { give_back(true); }

void Lease::return_clean() && { give_back(false); }

void Lease::give_back(bool dirty) noexcept {
  if (!session_) return;
  Session session = std::move(*session_);
  session_.reset();
  const std::shared_ptr<PoolCore> core = std::move(core_);
  core->take_back(std::move(session), age_, dirty);
}

}  // namespace weir::pg
