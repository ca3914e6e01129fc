#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/test_signal.h"
#include "base/thread_service.h"
#include "pg/connector.h"

namespace weir::pg {

/// Hears NOTIFY on a session and a thread of its own, and comes back after every loss. A notification is a
/// hint and never the only way to learn of work: those sent while the session was down are lost, which
/// `resync` tells.
class Listener final : public ThreadService {
 public:
  struct Event {
    std::string_view channel;
    std::string_view payload;
    bool resync = false;  ///< not a notification: some may have been missed, so look for yourself
  };
  /// Called in the listener's thread; hands over and returns.
  using Handler = std::function<void(const Event&)>;

  /// Runs on the listening session, in its thread, when it listens: with each new session, and again after
  /// call_attendant(). For state that has to live and die with the listening, such as a session lock. What it
  /// throws is a loss of the session.
  using Attendant = std::function<void(Session&)>;

  Listener(std::shared_ptr<const Connector> connector, std::string id, Attendant attendant = {});
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener() override;

  /// Lasts as long as it lives; after its end the handler is not running and never called again. Not to be
  /// ended from inside the handler, and not to outlive the listener.
  class Subscription;
  /// At any time, before or after start(); one handler for a channel. Its first event is a resync.
  [[nodiscard]] Subscription subscribe(std::string channel, Handler handler);

  /// From any thread; several calls may become one.
  void call_attendant() noexcept { changed_.notify(); }

  [[nodiscard]] std::string_view name() const noexcept override { return "listener"; }

  /// For tests: the server process of each new session.
  TestSignal<int> connected;

 protected:
  void run(const std::stop_token& stop, const std::function<void()>& ready) override;

 private:
  struct Subscriber {
    Handler handler;
    std::uint64_t number = 0;  ///< tells a new subscription from an older one of the same channel
  };
  /// What the present session listens to, and for which subscription.
  using Listening = std::map<std::string, std::uint64_t>;

  void serve(Session& session, const std::stop_token& stop, const std::function<void()>& listens);
  void follow_subscriptions(Session& session, Listening& listening);
  void deliver(const Event& event);
  void unsubscribe(const std::string& channel) noexcept;

  const std::shared_ptr<const Connector> connector_;
  const std::string id_;
  const Attendant attendant_;
  Wakeup changed_;  // wakes the thread to follow the subscriptions, and to let the attendant work

  Mutex mutex_;
  std::map<std::string, Subscriber, std::less<>> channels_ WEIR_GUARDED_BY(mutex_);
  std::uint64_t subscriptions_ WEIR_GUARDED_BY(mutex_) = 0;
  /// Held while a handler runs, so that the end of a subscription can wait for it.
  Mutex delivering_;
};

class Listener::Subscription {
 public:
  Subscription(Listener& listener, std::string channel) noexcept
      : listener_(&listener), channel_(std::move(channel)) {}
  Subscription(Subscription&& other) noexcept
      : listener_(std::exchange(other.listener_, nullptr)), channel_(std::move(other.channel_)) {}
  Subscription(const Subscription&) = delete;
  Subscription& operator=(const Subscription&) = delete;
  Subscription& operator=(Subscription&&) = delete;
  ~Subscription() {
    if (listener_ != nullptr) listener_->unsubscribe(channel_);
  }

 private:
  Listener* listener_;
  std::string channel_;
};

}  // namespace weir::pg
