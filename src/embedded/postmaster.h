#pragma once

#include <optional>
#include <stop_token>

#include "embedded/binaries.h"
#include "embedded/postmaster_file.h"
#include "embedded/site.h"
#include "exec/process.h"

namespace weir::embedded {

/// A server process that runs on a site's data.
struct Postmaster {
  exec::Process process;
  PostmasterFile file;
};

/// Found by its postmaster.pid and checked against the process that has the number: another process that got
/// the number of a server that crashed is not taken for it. Throws when a server answers whose process cannot
/// be seen.
std::optional<Postmaster> find_postmaster(const Site& site);

/// Whether it takes connections now.
bool is_ready(const Postmaster& postmaster, Deadline deadline, const std::stop_token& stop);

/// Starts a server on data that no server uses, and clears away what a crashed one left. Whoever calls holds
/// the site's start lock. On failure and on stop no server is left; at the deadline one that still recovers
/// goes on.
Postmaster start_postmaster(const Site& site, const Binaries& binaries, Deadline deadline,
                            const std::stop_token& stop);

/// Waits for one that somebody else started. Nothing when it ended instead.
std::optional<Postmaster> wait_ready(const Site& site, Postmaster postmaster, Deadline deadline,
                                     const std::stop_token& stop);

/// A fast shutdown, and when the deadline passes an immediate one.
void stop_postmaster(const Site& site, const Postmaster& postmaster, Deadline deadline,
                     const std::stop_token& stop);

}  // namespace weir::embedded
