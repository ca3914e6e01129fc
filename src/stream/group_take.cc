#include "stream/group_take.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "schema/queries/streams.h"
#include "stream/chunk_row.h"

namespace weir::stream {
namespace {

/// What comes back, or is put before the group again, may lie below.
constexpr Duration kLookBelow = std::chrono::seconds(1);
/// Letters that are to be tried again; with so many the handler is broken, and not the events.
constexpr std::int32_t kCrowd = 10'000;

template <class Rows>
Taken chunks_of(const Rows& rows, std::int64_t events) {
  Taken taken;
  bool partial = false;  // the last one: only its events from some time on
  for (const auto& row : rows) {
    if (taken.chunks++ == 0) taken.first_chunk = row.number;
    taken.events += row.events;
    Chunk chunk = chunk_of(row);
    const bool was_partial = std::exchange(partial, row.since.has_value());
    if (!taken.work.empty() && !partial && !was_partial) {
      auto& before = std::get<Chunk>(taken.work.back().events);
      if (const auto both = before.events + chunk.events <= events ? joined(before, chunk) : std::nullopt) {
        before = *both;
        continue;
      }
    }
    taken.work.push_back({std::move(chunk)});
  }
  return taken;
}

template <class Rows>
Taken letters_of(const Rows& rows) {
  Taken taken;
  if (rows.empty()) return taken;
  Letters letters;
  for (const auto& row : rows) letters.push_back({row.id, row.attempt});
  taken.work.push_back({std::move(letters)});
  return taken;
}

}  // namespace

Taken take_chunks(pg::Session& session, const GroupDefinition& group, std::int64_t above, std::size_t chunks,
                  std::int64_t events) {
  return chunks_of(session.run<sql::TakeStreamWork>(group.id, above, static_cast<std::int32_t>(chunks)),
                   events);
}

Taken take_letters(pg::Session& session, const GroupDefinition& group, std::size_t most) {
  return letters_of(session.run<sql::TakeStreamLetters>(group.id, static_cast<std::int32_t>(most)));
}

Taken claim_chunks(pg::Session& session, const GroupDefinition& group, ClaimName claim, std::int64_t above,
                   std::size_t chunks, const std::vector<std::int64_t>& but) {
  return chunks_of(session.run<sql::ClaimStreamWork>(claim.process, claim.number, group.id, above,
                                                     static_cast<std::int32_t>(chunks), but),
                   0);
}

Taken claim_letters(pg::Session& session, const GroupDefinition& group, ClaimName claim, std::size_t most) {
  return letters_of(session.run<sql::ClaimStreamLetters>(claim.process, claim.number, group.id,
                                                         static_cast<std::int32_t>(most)));
}

bool GroupLook::letters_are_due(bool thorough) {
  const SteadyTime now = std::chrono::steady_clock::now();
  if (!thorough && now < look_below_at_) return false;
  above_ = -1;
  look_below_at_ = now + kLookBelow;
  ask_ = true;
  return true;
}

bool GroupLook::may_take_chunks(pg::Session& session, const GroupDefinition& group) {
  if (std::exchange(ask_, false)) {
    const auto pending = session.run<sql::StreamLettersPending>(group.id, kCrowd);
    const bool was_crowded = std::exchange(crowded_, pending.one().pending >= kCrowd);
    if (crowded_ && !was_crowded) {
      log::warn("a group fails on too many events: it gets no new ones until those are done or dead",
                {{"group", group.name}, {"failed", kCrowd}});
    }
  }
  return !crowded_;
}

std::size_t GroupLook::chunks_of(std::int64_t events) const noexcept {
  constexpr std::int64_t kMostChunks = 64;
  return static_cast<std::size_t>(
      std::clamp<std::int64_t>(events / std::max<std::int64_t>(1, average_), 1, kMostChunks));
}

void GroupLook::took(const Taken& taken) noexcept {
  if (taken.chunks > 0) {
    above_ = std::max(above_, taken.first_chunk - 1);
    average_ = taken.events / static_cast<std::int64_t>(taken.chunks);
  } else if (!taken.work.empty()) {
    look_below_at_ = {};  // there may be more letters
  }
}

}  // namespace weir::stream
