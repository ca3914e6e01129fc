#include "pipeline/run/log_store.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "schema/queries.h"

namespace weir::pipeline {
namespace {

/// What a short command says is stored once, at its end; what comes in a moment is stored together.
constexpr Duration kGather = std::chrono::milliseconds(200);
constexpr Duration kStoreEvery = std::chrono::seconds(1);
constexpr std::size_t kLinesInRow = 2000;

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
    due_ = std::max(now + kGather, stored_ + kStoreEvery);
  if (now < due_ || !session.is_open()) return session.is_open() ? due_ : SteadyTime::max();
  stored_ = now;
  due_ = SteadyTime::max();
  try {
    store_head(session);
  } catch (const std::exception& error) {
    log::warn("a part of a task's log is lost", {{"run", attempt_->key.run}, {"error", error.what()}});
  }
  return due_;
}

void LogStore::say(std::string_view line) {
  append(LogStream::weir, std::chrono::time_point_cast<WallTime::duration>(std::chrono::system_clock::now()),
         line);
}

void LogStore::store(pg::Session& session) noexcept {
  try {
    store_head(session);
    write(session, log_.tail_after());
  } catch (const std::exception& error) {
    log::warn("a part of a task's log is lost", {{"run", attempt_->key.run}, {"error", error.what()}});
  }
}

void LogStore::store_head(pg::Session& session) { write(session, log_.take_head()); }

void LogStore::write(pg::Session& session, const std::vector<LogLine>& lines) const {
  for (std::size_t first = 0; first < lines.size(); first += kLinesInRow) {
    std::vector<std::int64_t> numbers;
    std::vector<std::string_view> streams;
    std::vector<WallTime> times;
    std::vector<std::string_view> texts;
    for (std::size_t i = first; i < std::min(lines.size(), first + kLinesInRow); ++i) {
      numbers.push_back(lines[i].number);
      streams.push_back(to_string(lines[i].stream));
      times.push_back(lines[i].at);
      texts.push_back(lines[i].text);
    }
    session.run<sql::WriteTaskLog>(attempt_->key.run, attempt_->key.no, attempt_->key.item, attempt_->attempt,
                                   numbers, streams, times, texts);
  }
}

}  // namespace weir::pipeline
