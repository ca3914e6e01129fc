#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pg/session.h"
#include "work/handler.h"

namespace weir::work {

class Life;

/// What was claimed at once: items that one process owns until each is settled. Read by many threads; what a
/// source keeps in its own claims besides is touched by settle() alone.
class Claim {
 public:
  Claim() = default;
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;
  virtual ~Claim() = default;

  [[nodiscard]] virtual std::span<const Item> items() const noexcept = 0;
  /// The longest that one item may take.
  [[nodiscard]] virtual std::optional<Duration> timeout() const noexcept { return std::nullopt; }
  /// Whether its items are done one after the other, by one slot, each by itself: the first one that is not
  /// done, or given up for good, ends it, and the rest is handed back.
  [[nodiscard]] virtual bool in_order() const noexcept { return false; }
  /// Items whose payload is too large to be carried along; it is read when their turn comes, and dropped
  /// after it.
  [[nodiscard]] virtual bool is_heavy(std::size_t /*index*/) const noexcept { return false; }
  virtual void load(std::size_t /*index*/, pg::Session& /*session*/) {}
  virtual void unload(std::size_t /*index*/) noexcept {}
};

/// The outcomes of `outcomes.size()` items of a claim, from item `first` on. None of them is open.
struct Settlement {
  std::shared_ptr<Life> life;
  std::shared_ptr<Claim> claim;
  std::size_t first = 0;
  std::vector<Outcome> outcomes;
  SteadyTime began{};  ///< their batch
  SteadyTime ended{};
};

/// One kind of work: where it is claimed, and where its outcomes go. The runtime does the rest. claim() and
/// peek() are called by one thread, settle() by another, keep() by a third, each with a session of its own.
class ClaimSource {
 public:
  ClaimSource() = default;
  ClaimSource(const ClaimSource&) = delete;
  ClaimSource& operator=(const ClaimSource&) = delete;
  virtual ~ClaimSource() = default;

  [[nodiscard]] virtual std::string_view name() const noexcept = 0;
  /// What to be woken for, see weir.wake().
  [[nodiscard]] virtual std::vector<std::string> topics() const = 0;

  /// Somebody was woken for this topic: a hint where claim() may look first.
  virtual void hear(std::string_view /*topic*/) {}
  /// Whether all that claim() gives at once is one slot's, see Claim::in_order(): then it is asked for less,
  /// and a claim outlives a crash of the server.
  [[nodiscard]] virtual bool claims_for_one_slot() const noexcept { return false; }
  /// Up to `wanted` items, alone in their transaction; null when there is nothing now. A look that is not
  /// thorough may miss what is hard to find; one that is comes before a sleep.
  virtual std::shared_ptr<Claim> claim(pg::Session& session, const Life& life, std::size_t wanted,
                                       bool thorough) = 0;
  /// After a claim() that threw: whether it was carried out is not known. Hands back what it took, or makes
  /// sure that it never will.
  virtual void resolve(pg::Session& session, const Life& life) = 0;
  /// The longest time to sleep before claiming again although nobody woke us, beyond the runtime's own.
  [[nodiscard]] virtual std::optional<Duration> next_look() const { return std::nullopt; }
  /// Whether anything is left that claim() would give sooner or later without more being handed in.
  virtual bool has_more(pg::Session& session) = 0;

  /// Writes outcomes, all of one life, and takes them out of `pending`. Without `all` it may leave those
  /// whose claim is not complete, because with the rest of it they cost less. Answers how many items the
  /// server refused: their lease was lost. Called again with what is left when it throws; what was written
  /// before does no harm then.
  virtual std::size_t settle(pg::Session& session, const Life& life, std::vector<Settlement>& pending,
                             bool all) = 0;

  /// The lease of these was lost before they could be written: settle() does not hear of them any more.
  virtual void drop(const Settlement& settlement) noexcept = 0;

  /// Ids of all items that are asked to stop, each time until they have ended.
  virtual std::vector<std::int64_t> cancelled(pg::Session& session, const Life& life) = 0;

  /// Puts what dead processes own back to where others find it.
  virtual void rescue(pg::Session& session) = 0;
  /// Promotion, clean-up, figures: called about as often as it asks for. Answers when it wants to be called
  /// again.
  virtual Duration keep(pg::Session& session, const Life& life) = 0;

  /// Of the runtime: called by a source that wants keep() now, from any thread.
  void on_keep_soon(std::function<void()> poke) { keep_soon_ = std::move(poke); }
  /// Of the runtime: called by a source that claim() would find something now, from any thread.
  void on_claim_soon(std::function<void()> poke) { claim_soon_ = std::move(poke); }

 protected:
  void keep_soon() const {
    if (keep_soon_) keep_soon_();
  }
  void claim_soon() const {
    if (claim_soon_) claim_soon_();
  }

 private:
  std::function<void()> keep_soon_;
  std::function<void()> claim_soon_;
};

}  // namespace weir::work
