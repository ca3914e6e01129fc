#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace weir::pg {
class Session;
}

namespace weir::load {

/// Another load of the stream was committed since this one began; nothing of this one was written, and the
/// same load may succeed now.
class StateMoved final : public Error {
  using Error::Error;
};

/// How far a stream of a pipeline is; committed together with its rows.
struct State {
  std::string pipeline;
  std::string stream;
  std::string json = "null";
  std::int64_t seq = 0;  ///< of commits; 0: none yet
};

/// seq 0 where there is none.
State read_state(pg::Session& session, std::string_view pipeline, std::string_view stream);

/// To be written by apply(): refused when `seq` is no longer the one that the extract began with.
struct StateChange {
  State before;      ///< as read_state() gave it
  std::string json;  ///< the new one. Empty or "null": the old one stays, and seq is advanced
};

/// In the apply transaction: locks, verifies, writes. Throws refused when another load was faster.
void advance_state(pg::Session& session, const StateChange& change, std::int64_t run, std::int64_t rows);

}  // namespace weir::load
