#pragma once

#include "group/sink.h"
#include "work/command_handler.h"

namespace weir::group {

/// A program that gets each batch as a line of JSON and answers it (docs/command-protocol.md). At least once:
/// the batch's id and attempt are there for programs that want to know what they have.
class CommandSink final : public Sink {
 public:
  explicit CommandSink(work::CommandOptions options) : handler_(std::move(options)) {}

  [[nodiscard]] Place place() const noexcept override { return Place::outside; }
  work::Outcome apply(const Batch& batch, const Application& application) override;

 private:
  work::CommandHandler handler_;
};

}  // namespace weir::group
