#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "pg/session.h"

namespace weir::pg {

class PoolCore;

/// What a pool knows of one of its sessions: too old, or from before close_all(), means that it is not kept.
struct SessionAge {
  SteadyTime born;
  std::uint64_t generation = 0;
};

/// A session on loan from a Pool, for short use by the thread that leased it. Dirty by default: on return the
/// open transaction, settings, temporary tables, LISTENs, session locks and prepared statements of this user
/// are removed (DISCARD ALL), so that nothing reaches the next one. A session in the middle of something is
/// closed instead.
class Lease {
 public:
  Lease(Lease&& other) noexcept;
  Lease& operator=(Lease&& other) noexcept;
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  ~Lease();

  [[nodiscard]] Session& operator*() noexcept { return *session_; }
  [[nodiscard]] Session* operator->() noexcept { return &*session_; }

  /// The fast path, without a round trip: the caller vouches that it has set nothing, locked nothing for the
  /// session, created nothing temporary and listens to nothing. Prepared queries stay, which is what makes it
  /// fast. An open transaction is noticed and cleaned all the same.
  void return_clean() &&;

 private:
  friend class PoolCore;
  Lease(std::shared_ptr<PoolCore> core, Session session, SessionAge age) noexcept;
  void give_back(bool dirty) noexcept;

  std::shared_ptr<PoolCore> core_;
  std::optional<Session> session_;
  SessionAge age_;
};

}  // namespace weir::pg
