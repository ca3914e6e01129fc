#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "load/demo/scenery.h"

namespace weir::load::demo {

/// What one replacement did.
struct Replacement {
  std::int64_t wal_bytes = 0;
  std::int64_t rows_written = 0;
  std::string strongest_lock{};  ///< "ACCESS EXCLUSIVE"
};

/// A way of giving the table new contents. Used by one thread, which need not be the one that makes it.
class Replacing {
 public:
  explicit Replacing(const Scenery& scenery) : scenery_(scenery) {}
  virtual ~Replacing() = default;
  Replacing(const Replacing&) = delete;
  Replacing& operator=(const Replacing&) = delete;

  [[nodiscard]] virtual std::string name() const = 0;
  Replacement replace(std::int64_t generation);
  /// Of the table and its indexes.
  std::int64_t table_bytes();

 protected:
  /// Without wal_bytes.
  virtual Replacement do_replace(std::int64_t generation) = 0;
  [[nodiscard]] const Scenery& scenery() const noexcept { return scenery_; }
  /// Connects at its first use.
  [[nodiscard]] pg::Session& session();

 private:
  const Scenery& scenery_;
  std::optional<pg::Session> session_;
};

/// TRUNCATE and INSERT in one transaction.
std::unique_ptr<Replacing> by_truncate(const Scenery& scenery);
/// DELETE and INSERT in one transaction.
std::unique_ptr<Replacing> by_delete(const Scenery& scenery);
/// A load of Weir's in mode refresh.
std::unique_ptr<Replacing> by_refresh(const Scenery& scenery);

}  // namespace weir::load::demo
