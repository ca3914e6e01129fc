#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/test_signal.h"
#include "base/thread_service.h"
#include "pg/connector.h"
#include "stream/cut.h"
#include "stream/partition_keeper.h"
#include "work/process.h"

namespace weir::stream {

/// Cuts a stream as events come. Any number of processes may have one for the same stream: a lock of its
/// session makes one of them work and the others wait for its end; where there is none (a transaction pooler)
/// they meet at the number of the next cut, which costs time and is never wrong. Of whoever works, the newest
/// event is looked for every few milliseconds while events come, and more seldom when they do not. Who fails
/// lets another one try. It also makes and drops the stream's partitions.
class Cutter final : public ThreadService {
 public:
  /// Should the process freeze, its session is ended by whoever declares it dead.
  Cutter(std::shared_ptr<const pg::Connector> connector, const work::Process& process,
         StreamDefinition stream);
  Cutter(const Cutter&) = delete;
  Cutter& operator=(const Cutter&) = delete;
  ~Cutter() override { stop(); }

  [[nodiscard]] std::string_view name() const noexcept override { return "cutter"; }

  /// For tests: events of each cut.
  TestSignal<std::int64_t> cut_done;
  /// For tests: failures in a row.
  TestSignal<int> failed;

 protected:
  void run(const std::stop_token& stop, const std::function<void()>& ready) override;

 private:
  /// Of the present life; null when there is none any more.
  pg::Session* session(const std::stop_token& stop);
  /// Cuts once if it may; answers how long to wait then.
  Duration step(pg::Session& session);
  void keep(pg::Session& session);
  /// Lets go of the stream; answers for how long.
  Duration give_way(int failures);
  void tell(const KeepReport& report) const;

  const std::shared_ptr<const pg::Connector> connector_;
  const work::Process& process_;
  StreamDefinition stream_;
  std::optional<pg::Session> session_;
  std::int64_t life_ = 0;
  bool leads_ = false;
  Duration pause_{};
  SteadyTime keep_due_{};
  std::int64_t merged_up_to_ = 0;  ///< the number of a chunk
};

}  // namespace weir::stream
