#pragma once

#include <cstdint>
#include <string_view>

#include <tl/expected.hpp>

#include "base/hash.h"
#include "pg/pinned_session.h"

namespace weir::pg {

/// The two-integer form of an advisory lock: a namespace, and a hash of the key within it. Two keys with one
/// hash exclude each other without need, which costs time and is never wrong.
struct AdvisoryKey {
  std::int32_t space = 0;
  std::int32_t key = 0;

  static constexpr AdvisoryKey of(std::int32_t space, std::string_view text) noexcept {
    const std::uint64_t hash = fnv1a(text);
    return {space, static_cast<std::int32_t>(static_cast<std::uint32_t>(hash ^ (hash >> 32U)))};
  }
  friend bool operator==(const AdvisoryKey&, const AdvisoryKey&) = default;
};

/// A held session-level advisory lock, together with the session that holds it. It is made only by a try that
/// succeeded, so only a held lock can be released; and while it is held the session cannot be used for
/// another lock, returned or recycled. Destroyed without release() it closes the session, with which the
/// server frees the lock. That the lock is held never proves that its owner lives.
class GroupLock {
 public:
  /// The session itself comes back where somebody else holds the lock. A session lost in the attempt is gone
  /// with it.
  static tl::expected<GroupLock, PinnedSession> try_acquire(PinnedSession session, AdvisoryKey key);

  /// The same by a statement of the caller's that does more than that: `lock(session)` tries to take the lock
  /// of `key`, and answers whether it did.
  template <class Lock>
  static tl::expected<GroupLock, PinnedSession> try_acquire_by(PinnedSession session, AdvisoryKey key,
                                                               Lock&& lock) {
    const bool acquired = session.use(std::forward<Lock>(lock));
    if (!acquired) return tl::unexpected(std::move(session));
    return GroupLock(std::move(session), key);
  }

  GroupLock(GroupLock&&) noexcept = default;
  GroupLock& operator=(GroupLock&&) noexcept = default;
  GroupLock(const GroupLock&) = delete;
  GroupLock& operator=(const GroupLock&) = delete;
  ~GroupLock() = default;

  /// For the work that the lock protects: status, heartbeat. The session can be used, not taken away.
  template <class Work>
  decltype(auto) use(Work&& work) {
    return session_.use(std::forward<Work>(work));
  }
  bool check() { return session_.check(); }
  void hand_over() noexcept { session_.hand_over(); }
  [[nodiscard]] bool is_open() const noexcept { return session_.is_open(); }
  [[nodiscard]] int backend_pid() const noexcept { return session_.backend_pid(); }
  [[nodiscard]] Canceller canceller() const { return session_.canceller(); }
  [[nodiscard]] AdvisoryKey key() const noexcept { return key_; }

  /// Gives the lock up and the session back. Throws an Error of kind misuse, and closes the session, when the
  /// server did not know of the lock: then something between us and the server, such as a transaction pooler,
  /// has handed the statement to another server process.
  PinnedSession release() &&;
  /// The same by a statement of the owner's that does more than that: `unlock(session)` lets go of key(), and
  /// answers whether the server had it.
  template <class Unlock>
  PinnedSession release_by(Unlock&& unlock) && {
    const bool was_held = session_.use(std::forward<Unlock>(unlock));
    return std::move(*this).end(was_held);
  }

 private:
  PinnedSession end(bool was_held) &&;
  GroupLock(PinnedSession session, AdvisoryKey key) noexcept : session_(std::move(session)), key_(key) {}

  PinnedSession session_;
  AdvisoryKey key_;
};

}  // namespace weir::pg
