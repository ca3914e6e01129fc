#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "stream/group_claim.h"
#include "stream/group_taker.h"
#include "stream/stream_definition.h"
#include "stream/stream_sql.h"
#include "stream/unreadable.h"
#include "work/transaction_source.h"

namespace weir::stream {

/// A group of a stream as a claim source: at least once, fenced by the claim; and, in transactional mode,
/// exactly once for effects in the same database.
class GroupSource final : public work::TransactionSource {
 public:
  /// `patience`: for how long a chunk that cannot be read is tried, before its events are tried one by one.
  GroupSource(StreamDefinition stream, GroupDefinition group, Duration patience = std::chrono::minutes(5));

  [[nodiscard]] std::string_view name() const noexcept override { return "stream"; }
  [[nodiscard]] std::vector<std::string> topics() const override { return {group_.topic()}; }
  [[nodiscard]] bool claims_for_one_slot() const noexcept override { return group_.is_ordered(); }
  std::shared_ptr<work::Claim> claim(pg::Session& session, const work::Life& life, std::size_t wanted,
                                     bool thorough) override;
  void resolve(pg::Session& session, const work::Life& life) override;
  [[nodiscard]] std::optional<Duration> next_look() const override;
  bool has_more(pg::Session& session) override;
  bool has_more_to_take(pg::Session& session) override { return has_more(session); }
  std::size_t settle(pg::Session& session, const work::Life& life, std::vector<work::Settlement>& pending,
                     bool all) override;
  void drop(const work::Settlement& /*settlement*/) noexcept override {}
  std::vector<std::int64_t> cancelled(pg::Session& /*session*/, const work::Life& /*life*/) override {
    return {};
  }
  void rescue(pg::Session& session) override;
  Duration keep(pg::Session& session, const work::Life& life) override;

  [[nodiscard]] std::unique_ptr<work::Taker> taker(std::unique_ptr<WorkDoer> doer,
                                                   GroupTaker::Options options);
  [[nodiscard]] const StreamDefinition& stream() const noexcept { return stream_; }
  [[nodiscard]] const GroupDefinition& group() const noexcept { return group_; }
  [[nodiscard]] const StreamSql& sql() const noexcept { return sql_; }
  [[nodiscard]] const GroupCounts& counts() const noexcept { return counts_; }

 private:
  struct Look {
    bool found = false;
    std::shared_ptr<GroupClaim> claim;  ///< null: what was found could not be read, and was put back
  };
  Look claim_once(pg::Session& session, const work::Life& life, std::size_t wanted, bool thorough);
  /// The same of a lane; `number`: of the claim.
  Look claim_lane_once(pg::Session& session, const work::Life& life, std::int64_t number, std::size_t wanted);
  std::shared_ptr<GroupClaim> read_lane(pg::Session& session, std::int64_t number, const Lane& lane,
                                        std::size_t most);
  void read(pg::Session& session, GroupWork work, GroupClaim& claim);
  /// After an error while reading: whether to go on without it.
  bool pass_over(pg::Session& session, const work::Life& life, const GroupWork& work, const pg::Error& error);
  void part_with_unreadable(pg::Session& session);
  bool end(pg::Session& session, const work::Life& life, GroupClaim& claim);
  /// Whether the claim was still ours.
  bool finish(pg::Session& session, const work::Life& life, GroupClaim& claim);
  bool finish_lane(pg::Session& session, const work::Life& life, GroupClaim& claim);

  const StreamDefinition stream_;
  const GroupDefinition group_;
  const StreamSql sql_;
  GroupCounts counts_;

  // Of the claiming thread.
  std::int64_t claims_ = 0;
  GroupLook look_;
  Unreadable unreadable_;  ///< of chunks; of lanes, where the group has them
  std::size_t letters_;    ///< that are claimed together
};

}  // namespace weir::stream
