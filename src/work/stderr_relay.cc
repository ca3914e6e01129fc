#include "work/stderr_relay.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"

namespace weir::work {
namespace {

constexpr std::size_t kTail = 2048;

}  // namespace

StderrRelay::StderrRelay(Sink sink) : sink_(std::move(sink)), lines_(kLongestLine), tail_(0, kTail) {}

void StderrRelay::take(std::string_view bytes, SteadyTime now) {
  tail_.append(bytes);
  lines_.append(bytes);
  while (const auto line = lines_.next()) pass(*line, now);
  if (lines_.overlong()) pass(lines_.take_rest(), now);
}

void StderrRelay::finish(SteadyTime now) {
  if (const std::string_view rest = lines_.take_rest(); !rest.empty()) pass(rest, now);
  tell_left_out();
}

void StderrRelay::pass(std::string_view line, SteadyTime now) {
  const double seconds = to_seconds(now - filled_at_);
  tokens_ = std::min(kBurst, tokens_ + seconds * kLinesPerSecond);
  filled_at_ = now;
  if (tokens_ < 1) {
    ++left_out_;
    return;
  }
  tell_left_out();
  tokens_ -= 1;
  sink_(line.substr(0, kLongestLine));
}

void StderrRelay::tell_left_out() {
  if (left_out_ > 0)
    sink_(fmt::format("[{} lines left out: more than {} a second]", left_out_, kLinesPerSecond));
  left_out_ = 0;
}

std::string StderrRelay::tail() const {
  const std::string text = tail_.text();
  return printable_lines(trim(text));
}

std::string printable_lines(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (!out.empty()) out.push_back('\n');
    out += printable(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

}  // namespace weir::work
