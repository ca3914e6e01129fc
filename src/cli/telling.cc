#include "cli/telling.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/queue_table.h"

namespace weir::cli {
namespace {

using namespace std::chrono_literals;
using nlohmann::ordered_json;

constexpr Duration kRedrawEvery = 500ms;
constexpr Duration kLineEvery = 10s;

ordered_json event_of(std::string_view event, std::span<const Figure> figures, double rate) {
  ordered_json document{{"event", event}};
  for (const Figure& figure : figures) document[std::string(figure.name)] = figure.count;
  document["per_second"] = rate;
  return document;
}

double rate_of(std::int64_t count, Duration span) {
  return static_cast<double>(count) / std::max(0.001, to_seconds(span));
}

bool same(const Figure& a, const Figure& b) { return a.count == b.count; }

}  // namespace

Duration Telling::every() const noexcept {
  return context_.progress.overprints() ? kRedrawEvery : kLineEvery;
}

void Telling::started(const ordered_json& members, std::string_view note) {
  began_ = last_ = std::chrono::steady_clock::now();
  if (context_.global.json) {
    ordered_json event{{"event", "started"}};
    event.update(members);
    context_.out.json_line(event);
  }
  context_.progress.note(note);
}

void Telling::progress(std::span<const Figure> figures) {
  const SteadyTime now = std::chrono::steady_clock::now();
  const bool news =
      told_.empty() ? std::any_of(figures.begin(), figures.end(), [](const Figure& f) { return f.count > 0; })
                    : !std::equal(figures.begin(), figures.end(), told_.begin(), told_.end(), same);
  const std::int64_t before = told_.empty() ? 0 : told_.front().count;
  const double rate = rate_of(figures.front().count - before, now - last_);
  last_ = now;
  told_.assign(figures.begin(), figures.end());
  if (context_.global.json) {
    if (news) context_.out.json_line(event_of("progress", figures, rate));
    return;
  }
  if (!news && !context_.progress.overprints()) return;
  const std::string speed = rate_text(rate);
  std::string text = speed.empty() ? "waiting" : speed;
  for (const Figure& figure : figures) {
    std::string name(figure.name);
    std::replace(name.begin(), name.end(), '_', ' ');
    text += fmt::format("  {} {}", name, human_count(figure.count));
  }
  context_.progress.step(text);
}

void Telling::draining(std::string_view note) {
  if (context_.global.json) context_.out.json_line({{"event", "draining"}});
  context_.progress.note(note);
}

void Telling::stopped(std::span<const Figure> figures, bool finished, std::string_view line) {
  const Duration span = std::chrono::steady_clock::now() - began_;
  const double rate = rate_of(figures.front().count, span);
  context_.progress.clear();
  if (context_.global.json) {
    ordered_json event = event_of("stopped", figures, rate);
    event["finished"] = finished;
    event["seconds"] = to_seconds(span);
    context_.out.json_line(event);
    return;
  }
  const std::string speed = rate_text(rate);
  context_.out.line(
      fmt::format("{}, in {}{}", line, human_duration(span), speed.empty() ? "" : " (" + speed + ")"));
}

}  // namespace weir::cli
