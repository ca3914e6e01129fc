#include "pipeline/task/process_output.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"
#include "work/stderr_relay.h"

namespace weir::pipeline {
namespace {

constexpr std::size_t kErrorTail = 2048;
/// The word that makes it a message comes in front, and blanks before it are few.
constexpr std::size_t kHead = 256;

/// Only a line that begins like this can be one.
bool may_be_message(std::string_view line) {
  const std::string_view head = trim(line.substr(0, kHead));
  return head.empty() ? line.size() <= kHead : head.front() == '{';
}

std::string excerpt(std::string_view line) { return elide(printable(trim(line.substr(0, 200))), 80); }

}  // namespace

ProcessOutput::ProcessOutput(LogSink& log, std::size_t longest_message, Progress progress)
    : longest_(longest_message),
      progress_(std::move(progress)),
      out_(log, LogStream::out),
      err_(log, LogStream::err),
      err_tail_(0, kErrorTail) {}

void ProcessOutput::take_out(std::string_view bytes, WallTime at) {
  while (!bytes.empty()) {
    const std::size_t end = std::min(bytes.find('\n'), bytes.size());
    const bool whole = end < bytes.size();
    take_piece(bytes.substr(0, end), whole, at);
    bytes.remove_prefix(whole ? end + 1 : end);
  }
}

/// A line may be a message until something in it says that it is none.
void ProcessOutput::take_piece(std::string_view piece, bool whole, WallTime at) {
  if (!is_text_) {
    line_.append(piece);
    is_text_ = line_.size() > longest_ || !may_be_message(line_);
    if (!is_text_ && !whole) return;
    if (!is_text_ && take_message(line_)) {
      line_.clear();
      return;
    }
    if (line_.size() > longest_ && line_.find(R"("weir")") < kHead) {
      set_fault(fmt::format("a message on its standard output is longer than {}: {}", human_bytes(longest_),
                            excerpt(line_)));
    }
    piece = line_;
  }
  out_.append(piece, at);
  line_.clear();
  if (whole) out_.append("\n", at);
  is_text_ = !whole;
}

void ProcessOutput::take_err(std::string_view bytes, WallTime at) {
  err_tail_.append(bytes);
  err_.append(bytes, at);
}

void ProcessOutput::finish(WallTime at) {
  // The last line may lack its end.
  if (!line_.empty() && !take_message(line_)) out_.append(line_, at);
  line_.clear();
  out_.finish(at);
  err_.finish(at);
}

void ProcessOutput::set_fault(std::string what) {
  if (!fault_) fault_ = std::move(what);
}

bool ProcessOutput::take_message(std::string_view line) {
  using Kind = ProcessMessage::Kind;
  try {
    auto message = read_message(line);
    if (!message) return false;
    switch (message->kind) {
      case Kind::output: value_ = std::move(message->value); break;
      case Kind::skip: skipped_ = std::move(message->value); break;
      case Kind::branch: branch_ = std::move(message->tasks); break;
      case Kind::progress:
        if (progress_) progress_(message->done, message->of);
        break;
    }
    return true;
  } catch (const MessageFault& fault) {
    set_fault(
        fmt::format("a message on its standard output has no meaning: {}: {}", fault.what, excerpt(line)));
    return false;
  }
}

std::string ProcessOutput::last_words() const {
  const std::string text = err_tail_.text();
  return work::printable_lines(trim(text));
}

}  // namespace weir::pipeline
