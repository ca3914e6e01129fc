#include "pipeline/run/log_store.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"
#include "schema/queries/tasks.h"

namespace weir::pipeline {
namespace {

/// What a short command says is stored once, at its end; what comes in a moment is stored together.
constexpr Duration kGather = std::chrono::milliseconds(200);
constexpr Duration kStoreEvery = std::chrono::seconds(1);
constexpr std::size_t kLinesInRow = 2000;
/// What is shorter hides nothing, and would be found in every other word.
constexpr std::size_t kShortestSecret = 3;

std::string_view to_string(LogStream stream) {
  switch (stream) {
    case LogStream::out: return "out";
    case LogStream::err: return "err";
    case LogStream::weir: return "weir";
  }
  return "";
}

}  // namespace

void LogStore::append(LogStream stream, WallTime at, std::string_view line) {
  log_.append(stream, at, line);
  fresh_ = true;
}

SteadyTime LogStore::attend(pg::Session& session, SteadyTime now) {
  if (std::exchange(fresh_, false) && due_ == SteadyTime::max())
    due_ = std::max(now + kGather, attended_ + kStoreEvery);
  if (now < due_ || !session.is_open()) return session.is_open() ? due_ : SteadyTime::max();
  attended_ = now;
  due_ = SteadyTime::max();
  try {
    store_head(session);
  } catch (const std::exception& error) {
    log::warn("a task's log is stored at its end", {{"run", attempt_->key.run}, {"error", error.what()}});
  }
  return due_;
}

void LogStore::say(std::string_view line) {
  append(LogStream::weir, std::chrono::time_point_cast<WallTime::duration>(std::chrono::system_clock::now()),
         without_secrets(std::string(line)));
}

/// The longest first: one may begin as another does.
void LogStore::keep(const std::string& value, const std::string& written) {
  if (value.size() < kShortestSecret) return;
  const auto place = std::find_if(secrets_.begin(), secrets_.end(),
                                  [&](const auto& kept) { return kept.first.size() <= value.size(); });
  secrets_.emplace(place, value, written);
}

/// In one go: what is written for one may look like another.
std::string LogStore::without_secrets(std::string text) const {
  for (std::size_t at = 0; at < text.size();) {
    const auto found = std::find_if(secrets_.begin(), secrets_.end(), [&](const auto& secret) {
      return text.compare(at, secret.first.size(), secret.first) == 0;
    });
    if (found == secrets_.end()) {
      ++at;
      continue;
    }
    text.replace(at, found->first.size(), found->second);
    at += found->second.size();
  }
  return text;
}

void LogStore::store(pg::Session& session) {
  store_head(session);
  std::vector<LogLine> tail = log_.tail_after(stored_);
  tell_gap(tail);
  const std::int64_t last = tail.empty() ? stored_ : tail.back().number;
  try {
    write(session, tail);
    stored_ = last;
  } catch (...) {
    if (!tail.empty()) stored_ = tail.front().number - 1;
    throw;
  }
}

/// As the last line that was left out.
void LogStore::tell_gap(std::vector<LogLine>& tail) const {
  const TaskLog::Counts counts = log_.counts();
  if (counts.lines_left_out == 0 || tail.empty() || tail.front().number - 1 <= stored_) return;
  tail.insert(tail.begin(),
              {.number = tail.front().number - 1,
               .stream = LogStream::weir,
               .at = tail.front().at,
               .text = fmt::format("{} line{}, {}, left out here", human_count(counts.lines_left_out),
                                   counts.lines_left_out == 1 ? "" : "s",
                                   human_bytes(static_cast<std::uint64_t>(counts.bytes_left_out)))});
}

void LogStore::store_head(pg::Session& session) {
  std::vector<LogLine> more = log_.take_head();
  head_.insert(head_.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  write(session, head_);
}

void LogStore::write(pg::Session& session, std::vector<LogLine>& lines) const {
  while (!lines.empty()) {
    const std::size_t count = std::min(lines.size(), kLinesInRow);
    std::vector<std::int64_t> numbers;
    std::vector<std::string_view> streams;
    std::vector<WallTime> times;
    std::vector<std::string_view> texts;
    for (std::size_t i = 0; i < count; ++i) {
      numbers.push_back(lines[i].number);
      streams.push_back(to_string(lines[i].stream));
      times.push_back(lines[i].at);
      texts.push_back(lines[i].text);
    }
    session.run<sql::WriteTaskLog>(attempt_->key.run, attempt_->key.no, attempt_->key.item, attempt_->attempt,
                                   numbers, streams, times, texts);
    lines.erase(lines.begin(), lines.begin() + static_cast<std::ptrdiff_t>(count));
  }
}

}  // namespace weir::pipeline
