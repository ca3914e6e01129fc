#include "load/write/state.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "pg/session.h"
#include "schema/queries/loads.h"

namespace weir::load {
namespace {

[[noreturn]] void another_was_faster(const State& before) {
  throw StateMoved(ExitCode::refused,
                   fmt::format("the state of {} / {} has moved on since this load began (it was commit {})",
                               printable(before.pipeline), printable(before.stream), before.seq),
                   "Another load of the stream was faster; nothing was written. Run it again.");
}

}  // namespace

State read_state(pg::Session& session, std::string_view pipeline, std::string_view stream) {
  State state{.pipeline = std::string(pipeline), .stream = std::string(stream)};
  const auto answer = session.run<sql::LoadReadState>(pipeline, stream);
  if (!answer.empty()) {
    const auto row = answer.one();
    state.json = row.state.text;
    state.seq = row.seq;
  }
  return state;
}

void advance_state(pg::Session& session, const StateChange& change, std::int64_t run, std::int64_t rows) {
  const State& before = change.before;
  const bool keeps = change.json.empty() || change.json == "null";
  if (before.seq == 0) {
    const pg::JsonView json{keeps ? std::string_view(before.json) : std::string_view(change.json)};
    if (session.run<sql::LoadFirstState>(before.pipeline, before.stream, json, run, rows).empty())
      another_was_faster(before);
    return;
  }
  const auto locked = session.run<sql::LoadLockState>(before.pipeline, before.stream);
  if (locked.empty() || locked[0].seq != before.seq) another_was_faster(before);
  const std::optional<pg::JsonView> json =
      keeps ? std::nullopt : std::optional(pg::JsonView{std::string_view(change.json)});
  if (session.run<sql::LoadNextState>(before.pipeline, before.stream, before.seq, json, run, rows).empty())
    another_was_faster(before);
}

}  // namespace weir::load
