#pragma once

#include <string_view>

namespace weir::work {

/// Whose fault an error is that came while items were worked on, as far as its SQLSTATE tells.
enum class Fault {
  /// It would come again with the item, whenever and wherever it is tried. A missing table is one, for an
  /// item
  /// may name it; whether the work as a whole is broken has to be found out otherwise.
  item,
  /// Its class is the connection's, an operator's or the server's own (08, 57, 58, F0, XX). Where the session
  /// lives on, a statement has raised it: by RAISE, through a foreign server, or because the server met with
  /// something that only this item leads to.
  unclear,
  /// A conflict, a lock, a server that is full, read-only or cannot read its disk: the same may go well next
  /// time.
  nobody,
};
Fault fault_of(std::string_view sqlstate) noexcept;

/// What happened when items were tried together in a transaction.
struct Failure {
  std::string_view sqlstate;
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
