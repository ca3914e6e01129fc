#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string_view>

#include "base/error.h"
#include "group/batch.h"
#include "pg/session.h"
#include "work/outcome.h"

namespace weir::group {

/// What a sink has while it applies a batch.
struct Application {
  /// Requested when the process has to end, or the group is not ours any more: return soon.
  std::stop_token stop;
  /// Place::inside: the group's session, in the transaction that the batch's status commits with. Else null.
  pg::Session* session = nullptr;
  /// Place::outside: throws OwnershipLost where the group is not ours any more, or that cannot be found out.
  /// To be called as late as possible before what cannot be undone.
  std::function<void()> verify;
};

/// The group went to somebody else. Nothing is written of the batch any more.
class OwnershipLost : public Error {
 public:
  OwnershipLost() : Error(ExitCode::failed, "the group is not ours any more") {}
};

/// Where batches go: the one interface to write for a new kind of sink. Used by one thread; each slot of a
/// consumer has its own.
class Sink {
 public:
  enum class Place {
    /// In the transaction of the batch's status: exactly once.
    inside,
    /// Anywhere else: at least once, or exactly once for sinks that know what they have (`has`).
    outside,
  };
  Sink() = default;
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;
  virtual ~Sink() = default;

  [[nodiscard]] virtual Place place() const noexcept = 0;
  /// False: it finds the payload in weir.batch, and none is sent here.
  [[nodiscard]] virtual bool needs_payload() const noexcept { return true; }
  /// Whether it has the batch already, from an attempt whose end was lost. Then it is not applied again.
  virtual bool has(const Batch& /*batch*/, const Application& /*application*/) { return false; }
  /// Batches come one at a time, in the order of their group. `done`: it has the batch. What it throws is
  /// `failed`.
  virtual work::Outcome apply(const Batch& batch, const Application& application) = 0;
};

/// What is said of what is thrown there and is no std::exception.
inline constexpr std::string_view kNoException = "the sink threw something that is no exception";

using SinkFactory = std::function<std::unique_ptr<Sink>()>;

}  // namespace weir::group
