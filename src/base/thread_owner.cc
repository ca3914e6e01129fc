#include "base/thread_owner.h"

#ifdef WEIR_DEBUG_CHECKS
#include <cstdio>
#include <cstdlib>
#include <functional>

namespace weir {

void ThreadOwner::stop_process(const char* what) const noexcept {
  const std::hash<std::thread::id> hash;
  std::fprintf(stderr, "weir: %s belongs to thread %zx and was used from thread %zx\n", what, hash(owner_),
               hash(std::this_thread::get_id()));
  std::abort();
}

}  // namespace weir
#endif
