#pragma once

#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <utility>
#include <vector>

#include "pg/session.h"
#include "work/fault.h"
#include "work/handler.h"
#include "work/run_watch.h"

namespace weir::work {

/// Runs a handler on items that were taken in the transaction at hand. What failing items wrote is undone,
/// and what the others wrote stands: first all together, then, if something failed, in parts (Bisection).
/// What only COMMIT would find, such as a deferred constraint, is looked for here, where it can be told whose
/// it is.
class TransactionParts {
 public:
  struct Options {
    /// The outcomes' texts are going to be stored as jsonb: one that cannot be is a failure of its item.
    bool stores_results = false;
    /// Others ran in this transaction before, and have made its constraints immediate.
    bool follows = false;
    /// Whatever would come again with the item is its failure (blame_for), for a source that can only count
    /// an item's attempts. Others tell what is broken as a whole, or part with it, by themselves.
    bool blames_widely = false;
    /// Behind the first item that fails, none stands: they are handed back.
    bool in_order = false;
    /// Of a run of the handler, and of what its constraints take then. Who outlasts it is treated as any
    /// other failure, but that an item is tried once; see RanOver.
    std::optional<Duration> timeout{};
    /// Of items whose run together outlasted it and whose session goes for that: RunWatch's `given_up`.
    std::function<void(std::span<const Item>)> given_up{};
  };
  TransactionParts(pg::Session& session, Handler& handler, std::stop_token stop, Options options)
      : session_(session),
        handler_(handler),
        stop_(std::move(stop)),
        options_(std::move(options)),
        immediate_(options_.follows) {}

  /// After a stop, what was not done is handed back. Throws when the whole transaction has to be given up:
  /// the session is lost, by a run that was not to be stopped otherwise (RanOver) or by itself, or the fault
  /// is nobody's own.
  std::vector<Outcome> run(std::span<const Item> items);

 private:
  [[nodiscard]] Blame blame(const pg::Error& error, std::size_t items) const noexcept;
  [[nodiscard]] Blame blame_narrowly(const pg::Error& error, std::size_t items) const noexcept;
  /// A single item twice where one failure proves nothing.
  bool try_fairly(std::span<const Item> items, std::vector<Outcome>& outcomes);
  /// Whether the part went well: then it stands, else it was undone.
  bool try_part(std::span<const Item> items, std::vector<Outcome>& outcomes);
  void begin_part();
  /// Settles all of the batch; true when it ran over its time.
  bool run_handler(Batch& batch, RunWatch& watch);
  /// False where the error is the fault of none of its items.
  bool fail_by(const pg::Error& error, Batch& batch);
  /// Whether what COMMIT would find is in order, too; then the part stands.
  bool keep_part(std::size_t items, bool ran_over, std::vector<Outcome>& outcomes);

  pg::Session& session_;
  Handler& handler_;
  std::stop_token stop_;
  Options options_;
  bool immediate_;  ///< a part before has made the constraints immediate
  int times_ = 1;   ///< in a row that a single item is tried
  bool again_ = false;
};

/// What failed can be one item's fault, and the others may do without it.
bool blames_an_item(const pg::Session& session, const pg::Error& error) noexcept;

}  // namespace weir::work
