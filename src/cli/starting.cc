#include "cli/starting.h"

#include <fmt/format.h>

namespace weir::cli {

void announce_start(Context& context, const embedded::ServerStatus& before) {
  using embedded::ServerState;
  switch (before.state) {
    case ServerState::absent:
      context.progress.step(fmt::format("making a private PostgreSQL in {}", before.data.string()));
      return;
    case ServerState::stopped: context.progress.step("starting the private PostgreSQL"); return;
    case ServerState::starting: context.progress.step("waiting for the private PostgreSQL"); return;
    case ServerState::running:
    case ServerState::unresponsive: context.progress.step("using the private PostgreSQL that runs"); return;
  }
}

void show_notices(Context& context, const embedded::ServerStatus& status) {
  for (const std::string& notice : status.notices) context.progress.note(notice);
}

}  // namespace weir::cli
