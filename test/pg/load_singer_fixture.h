#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include <fmt/format.h>

#include "base/wait.h"
#include "load/singer_load.h"
#include "support/errors.h"
#include "support/load_test.h"

namespace weir::load {

/// Until the load has done what it has to do meanwhile.
struct TapIsSilent {};
/// What a tap does: writes lines, and in between something happens, or nothing.
using TapStep = std::variant<std::string, std::function<void()>, TapIsSilent>;

class SteppedTap final : public ByteSource {
 public:
  SteppedTap(std::vector<TapStep> steps, std::stop_token stop)
      : steps_(std::move(steps)), stop_(std::move(stop)) {}
  std::size_t read(std::span<char> room) override {
    for (;;) {
      if (stop_.stop_requested()) throw Error(ExitCode::interrupted, "stopped while reading the tap");
      if (step_ == steps_.size()) return 0;
      if (const auto* happens = std::get_if<std::function<void()>>(&steps_[step_])) {
        ++step_;
        (*happens)();
        continue;
      }
      if (std::holds_alternative<TapIsSilent>(steps_[step_])) {
        ++step_;
        const Deadline until = idle_.until();
        if (until.is_never()) continue;
        Wakeup wakeup;
        wait_fd(-1, 0, until, stop_, wakeup);
        idle_.act();
        continue;
      }
      const std::string& text = std::get<std::string>(steps_[step_]);
      const std::size_t count = std::min(room.size(), text.size() - at_);
      std::memcpy(room.data(), text.data() + at_, count);
      at_ += count;
      if (at_ == text.size()) {
        ++step_;
        at_ = 0;
      }
      if (count > 0) return count;
    }
  }
  [[nodiscard]] ReadProgress progress() const override { return {}; }
  void set_idle(Idle idle) override { idle_ = std::move(idle); }

 private:
  std::vector<TapStep> steps_;
  Idle idle_;
  std::stop_token stop_;
  std::size_t step_ = 0;
  std::size_t at_ = 0;
};

class SingerTest : public test::LoadTest {
 protected:
  using Texts = std::vector<std::string>;

  /// What was told, of all runs of the test, in its order: "state ..", "items: upsert +1 ~2 -3", "warning
  /// ..".
  Texts told_;
  std::stop_source stop_;

  static SingerLoadOptions into(const std::string& table) {
    SingerLoadOptions options{.into = table};
    options.each.source = "tap";
    options.each.pipeline = "shop";
    return options;
  }
  /// Applies at every state.
  static SingerLoadOptions at_states(const std::string& table) {
    SingerLoadOptions options = into(table);
    options.apply_every = {};
    return options;
  }

  void tap(std::vector<TapStep> steps, SingerLoadOptions options) {
    auto source = std::make_unique<SteppedTap>(std::move(steps), stop_.get_token());
    SingerLoad load(
        std::make_shared<const pg::Connector>(users_connector()), std::move(source), std::move(options),
        {.state = [this](const std::string& state) { on_state(state); },
         .report = [this](const LoadReport& report, const LoadOptions& chosen) { add(report, chosen); },
         .warning = [this](const std::string& text) { told_.push_back("warning " + text); }});
    load.run(stop_.get_token());
  }
  void tap(const std::string& lines, SingerLoadOptions options) {
    tap(std::vector<TapStep>{lines}, std::move(options));
  }
  Error failure(const std::string& lines, SingerLoadOptions options) {
    return test::error_of([&] { tap(lines, std::move(options)); });
  }
  Texts take_told() { return std::exchange(told_, {}); }

  std::function<void(const std::string&)> also_on_state_;

  std::string value(const std::string& sql) {
    pg::Session session = this->session();
    const pg::Result result = session.execute("SELECT coalesce((" + sql + ")::text, 'null')");
    return result[0].get<std::string>(0);
  }
  /// "1 a, 2 b": the rows in the order of their text.
  std::string all(const std::string& columns, const std::string& table, const std::string& order = "1") {
    return value("SELECT string_agg(concat_ws(' ', " + columns + "), ', ' ORDER BY " +
                 (order == "1" ? columns.substr(0, columns.find(',')) : order) + ") FROM " + table);
  }
  std::string kept() {
    return tap_state_of(value("SELECT state FROM weir.load_state WHERE pipeline = 'shop' AND stream = ''"));
  }

 private:
  void on_state(const std::string& state) {
    if (also_on_state_) also_on_state_(state);
    told_.push_back("state " + state);
  }
  void add(const LoadReport& report, const LoadOptions& options) {
    const Applied& applied = *report.applied;
    told_.push_back(fmt::format("{}: {} +{} ~{} -{}", options.stream, to_string(options.spec.mode),
                                applied.inserted, applied.updated, applied.deleted));
  }
};

inline std::string tap_schema(const std::string& stream, const std::string& properties,
                              const std::string& keys = R"("id")") {
  return fmt::format(
      R"({{"type":"SCHEMA","stream":"{}","schema":{{"properties":{{{}}}}},"key_properties":[{}]}})"
      "\n",
      stream, properties, keys);
}
inline std::string tap_record(const std::string& stream, const std::string& record, int version = 0) {
  return fmt::format(R"({{"type":"RECORD","stream":"{}","record":{{{}}}{}}})"
                     "\n",
                     stream, record, version > 0 ? fmt::format(R"(,"version":{})", version) : "");
}
inline std::string tap_state(const std::string& value) {
  return fmt::format(R"({{"type":"STATE","value":{}}})"
                     "\n",
                     value);
}
inline std::string tap_activate(const std::string& stream, int version) {
  return fmt::format(R"({{"type":"ACTIVATE_VERSION","stream":"{}","version":{}}})"
                     "\n",
                     stream, version);
}

/// A stream `items` with id and name.
inline std::string items_schema(const std::string& more = "", const std::string& keys = R"("id")") {
  return tap_schema("items", R"("id":{"type":"integer"},"name":{"type":["null","string"]})" + more, keys);
}
inline std::string item(int id, const std::string& name, int version = 0) {
  return tap_record("items", fmt::format(R"("id":{},"name":"{}")", id, name), version);
}

}  // namespace weir::load
