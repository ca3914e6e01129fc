#pragma once

#include <functional>

#include "base/thread_service.h"
#include "pg/connector.h"
#include "work/claim_source.h"

namespace weir::work {

class Process;

/// What has to be done now and then, on a thread and a session of its own: declare dead the processes whose
/// lease ran out, hang up their sessions, bury those that own nothing any more; and what the source wants
/// kept. models/lease.pml: `Rescuer`.
class Keeper final : public ThreadService {
 public:
  using OnCancelled = std::function<void(const std::vector<std::int64_t>& ids)>;

  Keeper(const pg::Connector& connector, const Process& process, ClaimSource& source,
         OnCancelled on_cancelled)
      : connector_(connector), process_(process), source_(source), on_cancelled_(std::move(on_cancelled)) {}
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;
  ~Keeper() override { stop(); }

  [[nodiscard]] std::string_view name() const noexcept override { return "keeper"; }
  /// Makes it look now. Any thread.
  void poke() noexcept { poked_.notify(); }

 protected:
  void run(const std::stop_token& stop, const std::function<void()>& ready) override;

 private:
  Duration round(pg::Session& session, const Life& life, bool poked);

  const pg::Connector& connector_;
  const Process& process_;
  ClaimSource& source_;
  OnCancelled on_cancelled_;
  Wakeup poked_;
  SteadyTime rescue_due_{};
  std::int64_t life_ = 0;
};

}  // namespace weir::work
