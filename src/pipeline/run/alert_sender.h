#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/backoff.h"
#include "base/test_signal.h"
#include "base/thread_service.h"
#include "base/wait.h"
#include "pg/connector.h"
#include "pipeline/run/definitions.h"

namespace weir::pipeline {

struct AlertOptions {
  Duration limit = std::chrono::seconds(15);  ///< of one delivery
  Duration lease = std::chrono::seconds(60);  ///< then others send what this process has claimed
  /// Deliveries in all; with these delays they take about an hour.
  int attempts = 12;
  BackoffPolicy backoff{.base = std::chrono::seconds(5), .cap = std::chrono::minutes(15)};
};

/// Delivers alerts that are due, each at least once; any number of processes do. It sleeps, without a
/// session, until it is poked: by what has written an alert, or by a round of housekeeping that saw one due.
/// A stop waits for what is on its way, and sends once more what is due by then: there may be nobody else.
class AlertSender final : public ThreadService {
 public:
  AlertSender(std::shared_ptr<const pg::Connector> connector, std::filesystem::path project,
              Definitions& definitions, AlertOptions options)
      : connector_(std::move(connector)),
        project_(std::move(project)),
        definitions_(definitions),
        options_(options) {}
  AlertSender(const AlertSender&) = delete;
  AlertSender& operator=(const AlertSender&) = delete;
  ~AlertSender() override { stop(); }

  [[nodiscard]] std::string_view name() const noexcept override { return "alerts"; }
  /// Any thread.
  void poke() noexcept {
    due_ = true;
    wakeup_.notify();
  }

  /// For tests: an alert that this process has claimed is about to be delivered.
  TestSignal<std::int64_t> claimed;

 protected:
  void run(const std::stop_token& stop, const std::function<void()>& ready) override;

 private:
  struct Delivery;
  /// What is to be written of a delivery.
  struct Verdict {
    std::int64_t id = 0;
    std::int32_t attempt = 0;
    std::string_view state = "waiting";
    Duration delay = Duration::zero();
    std::string error{};
  };
  /// False when the limit came first.
  bool send_due(const pg::Limit& limit);
  /// Some of them; false when none was due.
  bool send_some(pg::Session& session);
  void judge(Delivery delivery);
  void settle(pg::Session& session);

  std::shared_ptr<const pg::Connector> connector_;
  std::filesystem::path project_;
  Definitions& definitions_;
  AlertOptions options_;
  Wakeup wakeup_;
  std::atomic<bool> due_{false};
  std::vector<Verdict> verdicts_;  // of the thread; what could not be written is written by the next round
};

}  // namespace weir::pipeline
