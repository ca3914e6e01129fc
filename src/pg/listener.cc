#include "pg/listener.h"

#include <utility>
#include <vector>

#include "base/backoff.h"
#include "base/log.h"
#include "base/text.h"
#include "pg/identifier.h"

namespace weir::pg {
namespace {

constexpr BackoffPolicy kReconnect{.base = std::chrono::milliseconds(100), .cap = std::chrono::seconds(10)};

/// LISTEN would cut a longer name, and nothing would ever arrive under the one that was asked for.
void check_channel(std::string_view channel) {
  constexpr std::size_t kLongest = 63;
  const bool known_to_server = !channel.empty() && channel.size() <= kLongest &&
                               channel.find('\0') == channel.npos && !find_invalid_utf8(channel);
  if (known_to_server) return;
  raise({.kind = ErrorKind::misuse,
         .message =
             "\"" + printable(channel) + "\" is no channel: 1 to 63 bytes of UTF-8 without a zero byte"});
}

}  // namespace

Listener::Listener(std::shared_ptr<const Connector> connector, std::string id, Attendant attendant)
    : connector_(std::move(connector)), id_(std::move(id)), attendant_(std::move(attendant)) {}

Listener::~Listener() { stop(); }

Listener::Subscription Listener::subscribe(std::string channel, Handler handler) {
  check_channel(channel);
  {
    const MutexLock lock(mutex_);
    const auto [place, is_new] = channels_.try_emplace(channel);
    if (!is_new) {
      raise({.kind = ErrorKind::misuse, .message = "channel " + channel + " has a subscriber already"});
    }
    place->second = {std::move(handler), ++subscriptions_};
  }
  changed_.notify();
  return {*this, std::move(channel)};
}

void Listener::unsubscribe(const std::string& channel) noexcept {
  const MutexLock no_handler_runs(delivering_);
  {
    const MutexLock lock(mutex_);
    channels_.erase(channel);
  }
  changed_.notify();
}

void Listener::run(const std::stop_token& stop, const std::function<void()>& ready) {
  Wakeup wakeup;
  bool was_ready = false;
  const auto ready_once = [&] {
    if (!std::exchange(was_ready, true)) ready();
  };
  for (int failures = 0; !stop.stop_requested();) {
    try {
      Session session = connector_->connect(Role::listen, id_, {.stop = stop});
      session.set_stop(stop);
      connected.emit(session.backend_pid());
      serve(session, stop, [&] {
        if (failures > 0) log::info("listening again", {{"failures", failures}});
        failures = 0;
        ready_once();
      });
    } catch (const std::exception& error) {
      if (stop.stop_requested()) return;
      if (!was_ready) throw;
      const Duration pause = backoff_delay(kReconnect, ++failures, random_unit());
      log::warn("not listening",
                {{"error", error.what()}, {"retry_ms", pause / std::chrono::milliseconds(1)}});
      wait_fd(-1, 0, Deadline::after(pause), stop, wakeup);
    }
  }
}

void Listener::serve(Session& session, const std::stop_token& stop, const std::function<void()>& listens) {
  Listening listening;
  follow_subscriptions(session, listening);
  if (attendant_) attendant_(session);
  listens();
  while (!stop.stop_requested()) {
    while (const auto notification = session.next_notification()) {
      deliver({.channel = notification->channel, .payload = notification->payload});
    }
    const WaitEnd end = session.wait_readable({.stop = stop}, changed_);
    if (end != WaitEnd::woken) continue;
    follow_subscriptions(session, listening);
    if (attendant_) attendant_(session);
  }
}

void Listener::follow_subscriptions(Session& session, Listening& listening) {
  Listening wanted;
  {
    const MutexLock lock(mutex_);
    for (const auto& [channel, subscriber] : channels_) wanted.emplace(channel, subscriber.number);
  }
  for (const auto& [channel, number] : listening) {
    if (!wanted.contains(channel)) session.execute("UNLISTEN " + quote_identifier(channel));
  }
  std::vector<std::string> added;
  for (const auto& [channel, number] : wanted) {
    const auto before = listening.find(channel);
    if (before == listening.end()) session.execute("LISTEN " + quote_identifier(channel));
    if (before == listening.end() || before->second != number) added.push_back(channel);
  }
  listening = std::move(wanted);
  for (const std::string& channel : added) deliver({.channel = channel, .payload = {}, .resync = true});
}

void Listener::deliver(const Event& event) {
  const MutexLock running(delivering_);
  Handler handler;
  {
    const MutexLock lock(mutex_);
    const auto found = channels_.find(event.channel);
    if (found == channels_.end()) return;
    handler = found->second.handler;
  }
  try {
    handler(event);
  } catch (const std::exception& error) {
    log::error("a notification's handler failed", {{"channel", event.channel}, {"error", error.what()}});
  } catch (...) {
    log::error("a notification's handler failed", {{"channel", event.channel}});
  }
}

}  // namespace weir::pg
