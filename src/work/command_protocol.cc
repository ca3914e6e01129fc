#include "work/command_protocol.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "base/text.h"
#include "work/json_members.h"
#include "work/json_syntax.h"

namespace weir::work {
namespace {

/// Payloads up to this size are copied, so that a write carries many items.
constexpr std::size_t kSmallPayload = 16 * 1024;
constexpr std::size_t kBuffer = 64 * 1024;
constexpr std::size_t kLongestReason = 8000;
constexpr double kLongestDelay = 3650.0 * 86400;

/// A reason of the command's: what PostgreSQL's text cannot hold is replaced.
std::string reason_of(std::string_view raw, std::string_view member) {
  if (raw.front() != '"') throw AnswerError(fmt::format(R"("{}" has to be a string)", member));
  std::string out;
  for (const char c : nlohmann::json::parse(raw).get<std::string>()) {
    if (c == '\0') {
      out += "\xEF\xBF\xBD";
    } else {
      out.push_back(c);
    }
  }
  return elide(out, kLongestReason);
}

/// -1 where it is none: no number of the protocol is negative.
double number_of(std::string_view raw) {
  const nlohmann::json value = nlohmann::json::parse(raw, nullptr, false);
  return value.is_number() ? value.get<double>() : -1;
}

double share_of(std::string_view raw) {
  const double share = number_of(raw);
  if (!(share >= 0 && share <= 1)) throw AnswerError(R"("progress" has to be a number from 0 to 1)");
  return share;
}

Duration delay_of(std::string_view raw, std::string_view member) {
  const double seconds = number_of(raw);
  if (!(seconds >= 0 && seconds <= kLongestDelay)) {
    throw AnswerError(
        fmt::format("\"{}\" has to be a number of seconds from 0 to {:.0f}", member, kLongestDelay));
  }
  return from_seconds(seconds);
}

/// A number or a string of one: who cannot hold 64 bits in a number keeps the string that we sent.
std::int64_t id_of(std::string_view raw) {
  if (raw.size() >= 2 && raw.front() == '"') raw = raw.substr(1, raw.size() - 2);
  std::int64_t id = 0;
  const auto [end, error] = std::from_chars(raw.data(), raw.data() + raw.size(), id);
  if (error != std::errc() || end != raw.data() + raw.size()) {
    throw AnswerError("an id has to be a whole number, or a string of one, as it was sent");
  }
  return id;
}

void take_ack(Answer& answer, std::string_view raw) {
  if (raw == R"("all")") {
    answer.all = true;
    return;
  }
  if (raw.front() != '[') throw AnswerError(R"("ack" has to be "all" or a list of ids)");
  constexpr std::size_t kIds = 100'000;
  const auto elements = split_array(raw, kIds);
  if (!elements) throw AnswerError("it acknowledges too many items in one line");
  for (const std::string_view element : *elements) answer.ids.push_back(id_of(element));
}

void append_time(std::string& out, std::string_view member, WallTime time) {
  const auto since = time.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  // PostgreSQL's infinity, and years that no date of other languages has, are left out.
  constexpr std::int64_t kYear1 = -62135596800;
  constexpr std::int64_t kYear10000 = 253402300800;
  if (seconds.count() < kYear1 || seconds.count() >= kYear10000) return;
  fmt::format_to(std::back_inserter(out), R"("{}":"{:%Y-%m-%dT%H:%M:%S}.{:06}Z",)", member,
                 fmt::gmtime(static_cast<std::time_t>(seconds.count())), (since - seconds).count());
}

/// The line up to its payload. "id" comes first, so that a shell can cut it out.
void append_head(std::string& out, const Item& item) {
  fmt::format_to(std::back_inserter(out), R"({{"id":"{}","queue":)", item.id);
  append_json_string(out, item.source);
  out += R"(,"kind":)";
  append_json_string(out, item.kind);
  fmt::format_to(std::back_inserter(out), R"(,"attempt":{},"max_attempts":{},)", item.attempt,
                 item.max_attempts);
  if (!item.error.empty()) {
    out += R"("error":)";
    append_json_string(out, item.error);
    out.push_back(',');
  }
  if (item.created_at) append_time(out, "created_at", *item.created_at);
  if (item.deadline) append_time(out, "deadline", *item.deadline);
  out += R"("payload":)";
}

constexpr std::string_view kTail = "}\n";
constexpr std::string_view kLineEnds = "\n\r";

/// Line ends are legal in JSON between its tokens only, where nothing needs them.
void append_without_line_ends(std::string& out, std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find_first_of(kLineEnds, at), text.size());
    out.append(text.substr(at, end - at));
    at = end + 1;
  }
}

}  // namespace

std::optional<std::string> find_payload_fault(std::string_view payload) {
  for (std::size_t at = 0; at < payload.size();) {
    const char c = payload[at];
    if (c >= 0x20) {  // ASCII, and by far the most
      ++at;
      continue;
    }
    if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\r' && c != '\t') {
      return fmt::format("the payload is not JSON: a control character (0x{:02x}) at byte {}",
                         static_cast<unsigned char>(c), at);
    }
    const std::size_t length = utf8_length(payload.substr(at, 4));
    if (length == 0) return fmt::format("the payload is not JSON: not UTF-8 at byte {}", at);
    at += length;
  }
  return std::nullopt;
}

std::string_view BatchText::next() {
  while (view_.empty()) {
    if (!payload_.empty()) {
      const std::string_view piece = payload_.substr(0, kBuffer);
      payload_.remove_prefix(piece.size());
      view_ = piece;
      if (piece.find_first_of(kLineEnds) != std::string_view::npos) {
        buffer_.clear();
        append_without_line_ends(buffer_, piece);
        view_ = buffer_;
      }
      continue;
    }
    if (ended_) return {};
    buffer_.clear();
    if (tail_due_) buffer_ += kTail;
    tail_due_ = false;
    collect();
    view_ = buffer_;
  }
  return view_;
}

/// Fills the buffer with lines, up to a large payload or the end.
void BatchText::collect() {
  const auto items = batch_->items();
  for (; buffer_.size() < kBuffer; ++index_) {
    if (index_ == items.size()) {
      fmt::format_to(std::back_inserter(buffer_), "{{\"end\":{},\"items\":{}}}\n", number_, sent_);
      ended_ = true;
      return;
    }
    if (!batch_->outcomes()[index_].is_open()) continue;
    const Item& item = items[index_];
    ++sent_;
    append_head(buffer_, item);
    if (item.payload.size() > kSmallPayload) {
      payload_ = item.payload;
      tail_due_ = true;
      ++index_;
      return;
    }
    const std::size_t before = buffer_.size();
    append_without_line_ends(buffer_, item.payload);
    if (buffer_.size() == before) buffer_ += "null";
    buffer_ += kTail;
  }
}

std::optional<Answer> decode_answer(std::string_view line) {
  line = trim(line);
  if (line.empty()) return std::nullopt;
  // The limit on members keeps a line of a million of them from taking much memory.
  constexpr std::size_t kMembers = 8;
  if (line.front() != '{' || find_json_fault(line)) throw AnswerError("it is not a JSON object");
  const auto members = split_object(line, kMembers);
  if (!members) throw AnswerError("it has too many members");

  Answer answer;
  std::optional<std::string_view> verb;
  std::string text;
  std::optional<Duration> delay;
  std::optional<std::string_view> result;
  std::optional<std::string> note;
  bool has_id = false;
  for (const JsonMember& member : *members) {
    const std::string_view value = member.value;
    const auto set_verb = [&](std::string_view name) {
      if (verb) throw AnswerError(fmt::format(R"(it says both "{}" and "{}")", *verb, name));
      verb = name;
    };
    if (member.key == R"("id")" && !has_id) {
      answer.ids = {id_of(value)};
      has_id = true;
    } else if (member.key == R"("ok")") {
      set_verb("ok");
      if (value != "true") throw AnswerError(R"("ok" has to be true; a failure is told by "error")");
    } else if (member.key == R"("error")") {
      set_verb("error");
      text = reason_of(value, "error");
    } else if (member.key == R"("discard")") {
      set_verb("discard");
      text = reason_of(value, "discard");
    } else if (member.key == R"("snooze")") {
      set_verb("snooze");
      delay = delay_of(value, "snooze");
    } else if (member.key == R"("progress")") {
      set_verb("progress");
      answer.progress = Progress{share_of(value)};
    } else if (member.key == R"("note")" && !note) {
      note = reason_of(value, "note");
    } else if (member.key == R"("ack")") {
      set_verb("ack");
      take_ack(answer, value);
    } else if (member.key == R"("retry_after")" && !delay) {
      delay = delay_of(value, "retry_after");
    } else if (member.key == R"("result")" && !result) {
      result = value;
    } else {
      throw AnswerError(fmt::format("it has a member that is unknown or there twice: {}",
                                    elide(printable(member.key), 40)));
    }
  }
  if (!verb) throw AnswerError(R"(it says none of "ok", "error", "snooze", "discard", "progress", "ack")");
  if (has_id == (verb == "ack")) {
    throw AnswerError(has_id ? R"("ack" goes without "id")" : R"(it has no "id")");
  }
  if (result && verb != "ok") throw AnswerError(R"("result" goes with "ok" only)");
  if (note && verb != "progress") throw AnswerError(R"("note" goes with "progress" only)");
  if (delay && verb != "error" && verb != "snooze")
    throw AnswerError(R"("retry_after" goes with "error" only)");

  if (verb == "progress") {
    answer.progress->note = std::move(note).value_or("");
  } else if (verb == "error") {
    answer.outcome = delay ? Outcome::retry(*delay, std::move(text)) : Outcome::failed(std::move(text));
  } else if (verb == "discard") {
    answer.outcome = Outcome::discarded(std::move(text));
  } else if (verb == "snooze") {
    answer.outcome = Outcome::snoozed(*delay);
  } else if (const auto fault = result ? find_jsonb_fault(*result) : std::nullopt) {
    // The work is done, but to say so without its result would lose it silently.
    answer.outcome = Outcome::failed(fmt::format("the result cannot be stored as jsonb: {}", *fault));
  } else {
    answer.outcome = Outcome::done(std::string(result.value_or("")));
  }
  return answer;
}

Answers::Answers(Batch& batch, ProgressSink* progress) : batch_(&batch), progress_(progress) {
  const auto items = batch.items();
  indexes_.reserve(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) indexes_.emplace(items[i].id, i);
}

Answers::~Answers() {
  if (progress_ == nullptr) return;
  for (const std::int64_t id : told_) progress_->forget(id);
}

void Answers::take(const Answer& answer, bool all_sent) {
  if (answer.all) {
    if (!all_sent) throw AnswerError("it acknowledges all items before it was sent all of them");
    batch_->settle_rest(answer.outcome);
    return;
  }
  for (const std::int64_t id : answer.ids) {
    const auto found = indexes_.find(id);
    if (found == indexes_.end()) throw AnswerError(fmt::format("item {} is not of this batch", id));
    if (answer.progress) {
      told_.insert(id);
      // What has its answer goes on no more.
      const bool runs = batch_->outcomes()[found->second].is_open();
      if (runs && progress_ != nullptr) progress_->report(id, answer.progress->share, answer.progress->note);
    } else if (!batch_->settle(found->second, answer.outcome)) {
      ++repeated_;
    }
  }
}

}  // namespace weir::work
