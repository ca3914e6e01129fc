#pragma once

#include <optional>
#include <string>
#include <vector>

#include "group/sink.h"
#include "pg/session.h"

namespace weir::group {

/// A table of the same database: the payload's rows, by name of column, in the transaction of the batch's
/// status.
class TableSink final : public Sink {
 public:
  struct Options {
    std::string table;             ///< quoted where that is needed, with its schema
    std::vector<std::string> key;  ///< rows that are there already by it are updated; empty: all are inserted
    std::optional<Duration> timeout{};  ///< of the statement that writes them; none: as the server has it
  };
  explicit TableSink(Options options) : options_(std::move(options)) {}

  [[nodiscard]] Place place() const noexcept override { return Place::inside; }
  [[nodiscard]] bool needs_payload() const noexcept override { return false; }
  work::Outcome apply(const Batch& batch, const Application& application) override;

 private:
  void write(pg::Session& session, const Batch& batch, const std::vector<std::string>& columns) const;

  Options options_;
};

/// The table as SQL names it, once the server has found it by `name`. Throws where there is none, or no such
/// key.
TableSink::Options find_target(pg::Session& session, const std::string& name, std::vector<std::string> key);

}  // namespace weir::group
