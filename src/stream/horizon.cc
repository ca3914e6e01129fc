#include "stream/horizon.h"

#include <algorithm>
#include <charconv>
#include <iterator>

#include <fmt/format.h>

#include "base/error.h"

namespace weir::stream {
namespace {

[[noreturn]] void no_snapshot(std::string_view text) {
  throw Error(ExitCode::failed, fmt::format("\"{}\" is no snapshot of a server", text));
}

/// Takes a number off the front of `rest`, and the separator behind it.
Xid take_xid(std::string_view& rest, char separator, std::string_view all) {
  Xid xid = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), xid);
  if (error != std::errc() || xid < 0) no_snapshot(all);
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  if (!rest.empty()) {
    if (rest.front() != separator) no_snapshot(all);
    rest.remove_prefix(1);
  }
  return xid;
}

}  // namespace

Horizon parse_horizon(std::string_view snapshot) {
  if (std::count(snapshot.begin(), snapshot.end(), ':') != 2) no_snapshot(snapshot);
  std::string_view rest = snapshot;
  Horizon horizon;
  take_xid(rest, ':', snapshot);  // the first that is open: `open` says the same
  horizon.end = take_xid(rest, ':', snapshot);
  while (!rest.empty()) horizon.open.push_back(take_xid(rest, ',', snapshot));
  if (!std::is_sorted(horizon.open.begin(), horizon.open.end())) no_snapshot(snapshot);
  return horizon;
}

Ended ended_between(const Horizon& before, const Horizon& now) {
  if (now.end < before.end) {
    throw Error(
        ExitCode::failed,
        fmt::format("the server is at transaction {}, and was at {} before", now.end, before.end),
        "Its count went back, as after pg_resetwal: what comes now would never be cut. Set it forward again "
        "(pg_resetwal -e and -x), or bring the database to another server by pg_dump and weir stream "
        "rebase.");
  }
  Ended ended{.from = before.end, .to = now.end, .open = {}, .late = {}};
  std::set_difference(before.open.begin(), before.open.end(), now.open.begin(), now.open.end(),
                      std::back_inserter(ended.late));
  std::copy_if(now.open.begin(), now.open.end(), std::back_inserter(ended.open),
               [&](Xid xid) { return xid >= before.end; });
  return ended;
}

Horizon cut_off(const Horizon& now, Xid end) {
  Horizon horizon{.end = std::min(now.end, end), .open = {}};
  std::copy_if(now.open.begin(), now.open.end(), std::back_inserter(horizon.open),
               [&](Xid xid) { return xid < horizon.end; });
  return horizon;
}

}  // namespace weir::stream
