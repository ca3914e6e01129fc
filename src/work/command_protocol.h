#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/error.h"
#include "work/handler.h"
#include "work/progress_sink.h"

// What Weir and a command say to each other: docs/command-protocol.md. No I/O here.

namespace weir::work {

/// Why a payload cannot be a part of a line of JSON, or of anything in PostgreSQL; nothing when it can. It is
/// not parsed.
std::optional<std::string> find_payload_fault(std::string_view payload);

/// What the command reads for one batch: a line for each open item, and one that ends the batch. Handed out
/// piece by piece; only small payloads are copied.
class BatchText {
 public:
  BatchText(const Batch& batch, std::uint64_t number) : batch_(&batch), number_(number) {}

  /// The bytes to write next; empty when all were taken. They live until the next call.
  std::string_view next();
  void taken(std::size_t bytes) noexcept { view_.remove_prefix(bytes); }
  [[nodiscard]] bool done() const noexcept { return view_.empty() && payload_.empty() && ended_; }

 private:
  void collect();

  const Batch* batch_;
  std::uint64_t number_;
  std::size_t index_ = 0;
  std::size_t sent_ = 0;
  std::string buffer_;
  std::string_view view_;     // of buffer_ or of a payload
  std::string_view payload_;  // what is left of a large one
  bool tail_due_ = false;
  bool ended_ = false;
};

/// The command said something that the protocol does not know.
class AnswerError final : public Error {
 public:
  explicit AnswerError(const std::string& what) : Error(ExitCode::failed, what) {}
};

/// How far an item is, while it goes on.
struct Progress {
  double share = 0;  ///< from 0 to 1
  std::string note{};
};

/// One line of the command.
struct Answer {
  bool all = false;  ///< every item of the batch that has no answer yet
  std::vector<std::int64_t> ids;
  Outcome outcome;                     ///< open where it tells progress
  std::optional<Progress> progress{};  ///< then it ends nothing
};

/// Nothing for a blank line. Throws AnswerError.
std::optional<Answer> decode_answer(std::string_view line);

/// Finds the items that answers speak of. What they told of their progress is forgotten with it.
class Answers {
 public:
  /// Without `progress` nobody wants to know it.
  explicit Answers(Batch& batch, ProgressSink* progress = nullptr);
  Answers(const Answers&) = delete;
  Answers& operator=(const Answers&) = delete;
  ~Answers();

  /// Throws AnswerError when an item is not of the batch, or when all are acknowledged before all were sent.
  /// The first answer to an item stands.
  void take(const Answer& answer, bool all_sent);
  [[nodiscard]] std::size_t repeated() const noexcept { return repeated_; }
  /// Some item told its progress: it was begun, whatever became of it.
  [[nodiscard]] bool told_progress() const noexcept { return !told_.empty(); }

 private:
  Batch* batch_;
  ProgressSink* progress_;
  std::unordered_map<std::int64_t, std::size_t> indexes_;
  std::unordered_set<std::int64_t> told_;  // items, however often they did
  std::size_t repeated_ = 0;
};

}  // namespace weir::work
