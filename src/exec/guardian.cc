#include "exec/guardian.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <fstream>
#include <memory>
#include <new>
#include <span>
#include <sstream>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "exec/forking.h"
#include "exec/guardian_process.h"

namespace weir::exec {
namespace {

// Never unmapped and its pipe never closed once it is here: another thread may just be using them.
std::atomic<GuardList*> current_guard{nullptr};

void warn_of_no_guardian(const std::string& reason) {
  static std::atomic<bool> told{false};
  if (told.exchange(true)) return;
  log::warn("programs run without a guardian: what they have started survives a SIGKILL of this process",
            {{"reason", reason}});
}

/// In every fork of ours. One that lives on would keep the guardian from seeing our end; programs of its own
/// would be killed with us and not with it.
void forget_guard() noexcept {
  if (const GuardList* const list = current_guard.exchange(nullptr)) ::close(list->lifeline);
}

void watch_forks() {
  static std::atomic<bool> watched{false};
  if (!watched.exchange(true)) ::pthread_atfork(nullptr, nullptr, forget_guard);
}

/// Nobody else has the other end of the pipe.
bool guardian_lives(const GuardList& list) noexcept {
  pollfd end{list.lifeline, 0, 0};
  ::poll(&end, 1, 0);
  return (end.revents & POLLERR) == 0;
}

struct Unmap {
  void operator()(GuardList* list) const noexcept { ::munmap(list, sizeof *list); }
};
using OwnList = std::unique_ptr<GuardList, Unmap>;

OwnList make_list() noexcept {
  void* const memory =
      ::mmap(nullptr, sizeof(GuardList), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  // NOLINTNEXTLINE(performance-no-int-to-ptr): that is how mmap says it
  if (memory == MAP_FAILED) return nullptr;
  return OwnList(new (memory) GuardList);
}

/// Where the kernel finds our command line and, next to it, our environment: the fields 48 to 51 of
/// proc_pid_stat(5). Empty where /proc does not tell.
std::span<char> find_words() {
  std::ifstream file("/proc/self/stat");
  std::string text;
  std::getline(file, text);
  const std::size_t name_end = text.rfind(") ");
  if (name_end == std::string::npos) return {};
  std::istringstream fields(text.substr(name_end + 2));
  std::string skipped;
  for (int field = 3; field < 48; ++field) fields >> skipped;
  std::uintptr_t args = 0;
  std::uintptr_t args_end = 0;
  std::uintptr_t env = 0;
  std::uintptr_t env_end = 0;
  if (!(fields >> args >> args_end >> env >> env_end) || args == 0 || args_end < args) return {};
  const std::uintptr_t end = env == args_end && env_end > env ? env_end : args_end;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): that is how the kernel tells addresses
  return {reinterpret_cast<char*>(args), end - args};
}

GuardList* refuse_guardian(int error_number) {
  warn_of_no_guardian(std::generic_category().message(error_number));
  return nullptr;
}

/// Several threads may do it at once; one of them is the first to have one, and the other guardians see the
/// end of their pipes. So no lock can be held while somebody forks.
GuardList* make_guard() {
  OwnList list = make_list();
  std::array<int, 2> ends{};
  if (!list || ::pipe2(ends.data(), O_CLOEXEC) != 0) return refuse_guardian(errno);
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  // Never one of the standard three, which somebody might write to.
  UniqueFd lifeline(::fcntl(write_end.get(), F_DUPFD_CLOEXEC, 3));
  if (!lifeline.valid()) return refuse_guardian(errno);
  write_end.reset();
  list->lifeline = lifeline.get();
  const std::span<char> words = find_words();
  // Where close_range() is missing they are closed one by one while a start waits; the limit may be a
  // billion.
  const int last_fd = static_cast<int>(std::min(::sysconf(_SC_OPEN_MAX), 65536L));
  pid_t child = 0;
  {
    const AllSignalsBlocked blocked;
    child = ::fork();
    if (child == 0) become_guardian(read_end.get(), *list, words, last_fd);
  }
  if (child < 0) return refuse_guardian(errno);
  // Not the guardian, but its parent, which has ended when there is one.
  reap(child);
  read_end.reset();
  if (!guardian_lives(*list)) return refuse_guardian(EAGAIN);
  watch_forks();
  GuardList* sooner = nullptr;
  if (!current_guard.compare_exchange_strong(sooner, list.get())) return sooner;
  [[maybe_unused]] const int kept = lifeline.release();
  return list.release();
}

}  // namespace

GuardedGroup::GuardedGroup() {
  GuardList* list = current_guard.load();
  if (list == nullptr) list = make_guard();
  if (list == nullptr) return;
  // A new one would not be told of the programs that run, nor how often it is to be made again.
  if (!guardian_lives(*list)) {
    warn_of_no_guardian("it was killed");
    return;
  }
  for (std::atomic<pid_t>& place : list->leaders) {
    pid_t found = GuardList::kFree;
    if (!place.compare_exchange_strong(found, GuardList::kTaken)) continue;
    place_ = &place;
    lifeline_ = UniqueFd(::fcntl(list->lifeline, F_DUPFD_CLOEXEC, 3));
    return;
  }
  warn_of_no_guardian("too many programs run at once");
}

void GuardedGroup::enter() const noexcept {
  if (place_ != nullptr) place_->store(::getpid());
}

void GuardedGroup::leave() noexcept {
  if (place_ != nullptr) place_->store(GuardList::kFree);
  place_ = nullptr;
  lifeline_.reset();
}

}  // namespace weir::exec
