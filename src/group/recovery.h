#pragma once

#include <functional>
#include <memory>

#include "base/thread_service.h"
#include "group/recovery_connection.h"
#include "group/sink_definition.h"
#include "pg/connector.h"

namespace weir::group {

/// The sweeps of a sink, on their own thread and connection.
class Recovery final : public ThreadService {
 public:
  using OnSwept = std::function<void(const RecoveryConnection::Swept&)>;
  /// `on_swept`: after each sweep that found something.
  Recovery(std::shared_ptr<const pg::Connector> connector, const SinkDefinition& sink, std::string id,
           OnSwept on_swept);
  Recovery(const Recovery&) = delete;
  Recovery& operator=(const Recovery&) = delete;
  ~Recovery() override { stop(); }

  [[nodiscard]] std::string_view name() const noexcept override { return "group recovery"; }

 protected:
  void run(const std::stop_token& stop, const std::function<void()>& ready) override;

 private:
  const std::shared_ptr<const pg::Connector> connector_;
  const SinkDefinition sink_;
  const std::string id_;
  const OnSwept on_swept_;
};

}  // namespace weir::group
