#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "work/handler.h"

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

/// One line of the command.
struct Answer {
  bool all = false;  ///< every item of the batch that has no answer yet
  std::vector<std::int64_t> ids;
  Outcome outcome;
};

/// Nothing for a blank line. Throws AnswerError.
std::optional<Answer> decode_answer(std::string_view line);

/// Finds the items that answers speak of.
class Answers {
 public:
  explicit Answers(Batch& batch);
  /// Throws AnswerError when an item is not of the batch, or when all are acknowledged before all were sent.
  /// The first answer to an item stands.
  void take(const Answer& answer, bool all_sent);
  [[nodiscard]] std::size_t repeated() const noexcept { return repeated_; }

 private:
  Batch* batch_;
  std::unordered_map<std::int64_t, std::size_t> indexes_;
  std::size_t repeated_ = 0;
};

}  // namespace weir::work
