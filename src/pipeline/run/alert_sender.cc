#include "pipeline/run/alert_sender.h"

#include <optional>
#include <thread>

#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"
#include "pipeline/task/alert_delivery.h"
#include "schema/queries/alerts.h"

namespace weir::pipeline {
namespace {

/// At once: one address that does not answer holds the others up for no longer than `limit`.
constexpr std::int32_t kTogether = 8;
/// Between two tries to reach the database.
constexpr BackoffPolicy kReach{.base = std::chrono::seconds(1), .cap = std::chrono::seconds(30)};
/// For what is due when we are stopped.
constexpr Duration kLastRound = std::chrono::seconds(20);

/// Who gets it twice knows it by its number.
std::string numbered(std::string_view document, std::int64_t id, int attempt) {
  return fmt::format(R"({{"alert": {}, "attempt": {}, {})", id, attempt, document.substr(1));
}

}  // namespace

/// An alert that is ours until its lease has passed.
struct AlertSender::Delivery {
  std::int64_t id = 0;
  std::int32_t attempt = 0;
  std::int32_t pipeline = 0;
  std::int32_t version = 0;
  std::int32_t no = 0;
  Alert alert{};
  AlertMessage message;
  std::string failure{};  ///< empty: it was delivered
};

void AlertSender::run(const std::stop_token& stop, const std::function<void()>& ready) {
  ready();
  int failures = 0;
  while (!stop.stop_requested()) {
    const Deadline again =
        failures == 0 ? Deadline::never() : Deadline::after(backoff_delay(kReach, failures, random_unit()));
    if (wait_fd(-1, 0, again, stop, wakeup_) == WaitEnd::stopped) break;
    due_ = false;
    try {
      if (!send_due({.stop = stop})) due_ = true;
      failures = 0;
    } catch (const std::exception& error) {
      due_ = true;
      if (stop.stop_requested()) break;
      ++failures;
      log::warn("alerts could not be looked after; it is tried again", {{"error", error.what()}});
    }
  }
  if (!due_) return;
  try {
    send_due(pg::Limit::within(kLastRound));
  } catch (const std::exception& error) {
    log::warn("alerts are left to other processes", {{"error", error.what()}});
  }
}

bool AlertSender::send_due(const pg::Limit& limit) {
  pg::Session session = connector_->connect(pg::Role::api, "alerts", limit);
  for (;;) {
    settle(session);
    if (limit.stop.stop_requested() || limit.deadline.expired()) return false;
    if (!send_some(session)) return true;
  }
}

bool AlertSender::send_some(pg::Session& session) {
  std::vector<Delivery> deliveries;
  for (const auto& row :
       session.run<sql::ClaimAlerts>(kTogether, options_.lease / std::chrono::milliseconds(1))) {
    deliveries.push_back({.id = row.id,
                          .attempt = row.attempt,
                          .pipeline = row.pipeline_id,
                          .version = row.version,
                          .no = row.alert_no,
                          .message = {.event = std::string(row.event),
                                      .pipeline = std::string(row.pipeline),
                                      .run = row.run_id,
                                      .document = numbered(row.document.text, row.id, row.attempt)}});
  }
  for (Delivery& each : deliveries) {
    try {
      each.alert = definitions_.get(session, each.pipeline, each.version)
                       ->alerts.at(static_cast<std::size_t>(each.no));
    } catch (const pg::Error&) {
      throw;
    } catch (const std::exception& error) {
      each.failure = error.what();
    }
  }
  {
    std::vector<std::jthread> threads;
    for (Delivery& each : deliveries) {
      claimed.emit(each.id);
      if (!each.failure.empty()) continue;
      threads.emplace_back(
          [&] { each.failure = deliver_alert(each.alert, each.message, project_, options_.limit); });
    }
  }
  for (Delivery& each : deliveries) judge(std::move(each));
  return !deliveries.empty();
}

void AlertSender::judge(Delivery delivery) {
  Verdict verdict{.id = delivery.id, .attempt = delivery.attempt, .error = storable_text(delivery.failure)};
  const std::string target = alert_target(delivery.alert);
  const AlertMessage& what = delivery.message;
  if (verdict.error.empty()) {
    verdict.state = "sent";
    log::info("an alert was sent",
              {{"pipeline", what.pipeline}, {"run", what.run}, {"event", what.event}, {"to", target}});
  } else if (delivery.attempt >= options_.attempts) {
    verdict.state = "given_up";
    log::warn("an alert was given up: nobody has been told", {{"pipeline", what.pipeline},
                                                              {"run", what.run},
                                                              {"event", what.event},
                                                              {"to", target},
                                                              {"attempts", delivery.attempt},
                                                              {"error", verdict.error}});
  } else {
    verdict.delay = backoff_delay(options_.backoff, delivery.attempt, random_unit());
    log::warn("an alert could not be delivered; it is tried again", {{"pipeline", what.pipeline},
                                                                     {"run", what.run},
                                                                     {"event", what.event},
                                                                     {"to", target},
                                                                     {"in", human_duration(verdict.delay)},
                                                                     {"error", verdict.error}});
  }
  verdicts_.push_back(std::move(verdict));
}

void AlertSender::settle(pg::Session& session) {
  if (verdicts_.empty()) return;
  std::vector<std::int64_t> ids;
  std::vector<std::int32_t> attempts;
  std::vector<std::string_view> states;
  std::vector<std::int64_t> delays;
  std::vector<std::optional<std::string_view>> errors;
  for (const Verdict& verdict : verdicts_) {
    ids.push_back(verdict.id);
    attempts.push_back(verdict.attempt);
    states.push_back(verdict.state);
    delays.push_back(verdict.delay / std::chrono::milliseconds(1));
    errors.push_back(verdict.error.empty() ? std::nullopt : std::optional<std::string_view>(verdict.error));
  }
  session.run<sql::SettleAlerts>(ids, attempts, states, delays, errors);
  verdicts_.clear();
}

}  // namespace weir::pipeline
