#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "stream/adopt_facts.h"
#include "stream/stream_definition.h"

namespace weir::stream {

// A table becomes a stream in three kinds of steps:
//
//   change  the column of transactions' numbers, with its check, the trigger that refuses UPDATE and, where
//           there are partitions, the empty frame of the index
//   build   the index (xid, id), for each partition by itself
//   make    what Weir knows of the stream, and its first cut
//
// Why no row is lost or doubled, whoever writes meanwhile and wherever it is interrupted:
//
// - `change` is one transaction, under a lock that nobody else holds with a write undone. The server stores
//   its number, once, as that of all rows that are there (pg_current_xact_id() is stable: nothing is
//   rewritten), and whatever is inserted later carries the number of its own transaction, by the default, and
//   no other, by the check. So from its commit on every row has the right number, for good: rows are not
//   updated.
// - Nothing reads those numbers before `make`. Its first horizon says that no transaction has ended yet, of
//   all there ever were: not the present one, for a transaction that is open now may have a smaller number
//   than the one of `change`, and write to the table later. So the first cut takes every number that has
//   ended, those of rows that came between the steps among them, and leaves the others to the next cuts. It
//   is in the transaction that makes the stream: no group can begin before the old rows are cut.
// - What is missing is found anew each time, in the catalogue: an interrupted adoption is run again.

struct AdoptStep {
  enum class Kind {
    change,  ///< a transaction that waits shortly for its locks, and is tried again
    build,   ///< a statement outside of any transaction, for as long as it takes
    make,    ///< by adopt_stream()
  };
  Kind kind = Kind::change;
  std::string name;
  std::vector<std::string> sql{};
  std::string lock{};
  std::string on{};
  std::string note{};
};

/// What has still to be done. Pure.
std::vector<AdoptStep> plan_adoption(const AdoptFacts& table, const StreamColumns& columns);

/// What those who use the table will notice. Pure.
std::vector<std::string> adoption_notices(const AdoptFacts& table, const StreamColumns& columns);

}  // namespace weir::stream
