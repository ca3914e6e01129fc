#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "pg/group_lock.h"

namespace weir::group {

/// What is kept in order: a tenant's key in a feed.
struct GroupKey {
  std::string tenant;
  std::string key;

  friend auto operator<=>(const GroupKey&, const GroupKey&) = default;
};

inline std::string to_string(const GroupKey& group) { return group.tenant + "/" + group.key; }

/// Each sink has a space of its own: two of them may have one group at the same time.
constexpr std::int32_t lock_space(std::int32_t sink) noexcept { return 0x57690000 + sink; }

inline pg::AdvisoryKey lock_key(std::int32_t sink, const GroupKey& group) {
  return pg::AdvisoryKey::of(lock_space(sink), group.tenant + '\0' + group.key);
}

}  // namespace weir::group
