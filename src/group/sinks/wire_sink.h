#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "group/sink.h"
#include "group/sinks/payload_rows.h"
#include "pg/connector.h"

namespace weir::group {

/// A table of another server that speaks PostgreSQL's protocol: the payload's rows and a marker in one
/// transaction of that server, so that what was applied there is known there. Nothing but plain SQL is asked
/// of it. Exactly once.
class WireSink final : public Sink {
 public:
  struct Options {
    std::shared_ptr<const pg::Connector> connector;
    std::string table;  ///< as that server names it
    /// Of this sink, in the markers: the same for all of its consumers, and no other Weir's on the same
    /// server.
    std::string label;
    Duration timeout = std::chrono::minutes(10);  ///< how long that server may take for a batch
  };
  explicit WireSink(Options options) : options_(std::move(options)) {}

  [[nodiscard]] Place place() const noexcept override { return Place::outside; }
  work::Outcome apply(const Batch& batch, const Application& application) override;

 private:
  pg::Session& connected(const Application& application);
  [[nodiscard]] bool has_applied(pg::Session& session, const Batch& batch) const;
  work::Outcome apply(const Batch& batch, const PayloadRows& rows, const Application& application);
  [[nodiscard]] work::Outcome put_off(const pg::Error& error) const;
  [[nodiscard]] std::string is_batch(const Batch& batch) const;

  Options options_;
  std::optional<pg::Session> session_;
};

/// Throws where the other server has no such table. While it is away nothing is known: the sink waits for it.
void check_wire_target(const WireSink::Options& options, const std::stop_token& stop);

}  // namespace weir::group
