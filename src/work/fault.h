#pragma once

#include <string_view>

#include "pg/error.h"

namespace weir::work {

/// Whose fault an error is that came while items were worked on, as far as it tells by itself.
enum class Fault {
  /// It would come again with the item, whenever and wherever it is tried. A missing table is one, for an
  /// item may name it; whether the work as a whole is broken has to be found out otherwise.
  item,
  /// Its class is the connection's, an operator's or the server's own (08, 57, 58, F0, XX). Where the session
  /// lives on, a statement has raised it: by RAISE, through a foreign server, or because the server met with
  /// something that only this item leads to. So is what became of another connection, and a statement after
  /// one that failed (25P02): the handler has caught the error that would tell.
  unclear,
  /// A conflict, a lock, a server that is full, read-only or cannot read its disk: the same may go well next
  /// time.
  nobody,
};
Fault fault_of(std::string_view sqlstate) noexcept;
/// The same of any error where the items' own session lives on: the client has found errors of its own, which
/// have no SQLSTATE, and has other sessions to lose.
Fault fault_of(pg::ErrorKind kind, std::string_view sqlstate) noexcept;

/// SQLSTATE of a statement in a transaction where another one has failed before.
inline constexpr std::string_view kFailedBefore = "25P02";

/// What happened when items were tried together in a transaction.
struct Failure {
  pg::ErrorKind kind = pg::ErrorKind::server;
  std::string_view sqlstate{};
  bool session_lives = true;  ///< after the error
  bool stopping = false;
  bool alone = false;  ///< a single item was tried
  int times = 1;       ///< how often in a row that was so, of this item
};

/// What is to be done about it.
enum class Blame {
  nobody,  ///< give the transaction up, and try all of it again
  divide,  ///< try parts of it
  again,   ///< try the single item once more
  item,    ///< the attempt of the single item has failed
};

/// Pure. An unclear error is an item's own when it comes twice in a row with that item alone: what the server
/// meets with by chance does not, and who has lost the session has lost the evidence.
Blame blame_for(const Failure& failure) noexcept;

}  // namespace weir::work
