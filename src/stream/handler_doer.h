#pragma once

#include <memory>

#include "stream/group_taker.h"
#include "work/handler.h"

namespace weir::stream {

/// Events one by one, to a handler that is given the transaction's session.
class HandlerDoer final : public WorkDoer {
 public:
  HandlerDoer(const StreamDefinition& stream, const StreamSql& sql, const GroupDefinition& group,
              std::unique_ptr<work::Handler> handler)
      : stream_(stream), sql_(sql), group_(group), handler_(std::move(handler)) {}

  std::size_t work(pg::Session& session, const GroupWork& work, Failures& failures,
                   const std::stop_token& stop) override;
  void work_in_order(pg::Session& session, const GroupWork& work, LaneRun& run,
                     const std::stop_token& stop) override;

 private:
  const StreamDefinition& stream_;
  const StreamSql& sql_;
  const GroupDefinition& group_;
  const std::unique_ptr<work::Handler> handler_;
};

}  // namespace weir::stream
