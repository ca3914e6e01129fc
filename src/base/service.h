#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"

namespace weir {

/// A long-lived part of the process. The contract, which test/support/service_suite.h tries on every service:
/// - start() returns when the service does its work, or throws and leaves it stopped; on a started one it
/// does nothing; one that another thread's stop() interrupts returns, and the service is stopped;
/// - stop() returns when every thread of the service has ended; it never throws, tolerates a service that
/// never
///   started, a second call and a call from several threads at once;
/// - a stopped service may be started again.
/// A class that implements it calls stop() in its destructor, because its members must outlive its threads.
class Service {
 public:
  Service() = default;
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;
  virtual ~Service() = default;

  [[nodiscard]] virtual std::string_view name() const noexcept = 0;
  virtual void start() = 0;
  virtual void stop() noexcept = 0;
};

/// Starts its members in the order in which they were added and stops them in reverse.
/// If one fails to start, those before it are stopped again.
class ServiceGroup final : public Service {
 public:
  explicit ServiceGroup(std::string name) : name_(std::move(name)) {}
  ServiceGroup(const ServiceGroup&) = delete;
  ServiceGroup& operator=(const ServiceGroup&) = delete;
  ~ServiceGroup() override { stop(); }

  /// Only before start(). The group does not own the service.
  void add(Service& service);

  [[nodiscard]] std::string_view name() const noexcept override { return name_; }
  void start() override;
  void stop() noexcept override;

 private:
  void stop_started() noexcept WEIR_REQUIRES(mutex_);
  /// False when a stop came first.
  bool begin_to_start(Service* member);

  std::string name_;
  /// What start() is at, for a stop() that must not wait until it is done.
  Mutex progress_;
  Service* starting_ WEIR_GUARDED_BY(progress_) = nullptr;
  bool stop_wanted_ WEIR_GUARDED_BY(progress_) = false;

  Mutex mutex_;
  std::vector<Service*> members_ WEIR_GUARDED_BY(mutex_);
  std::size_t started_ WEIR_GUARDED_BY(mutex_) = 0;
};

}  // namespace weir
