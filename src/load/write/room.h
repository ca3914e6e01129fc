#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace weir::pg {
class Conninfo;
class Session;
}  // namespace weir::pg

namespace weir::load {

/// What to say where the source has more bytes than are free where the server puts a stage: a guess, since a
/// stage may be smaller or larger. Nothing where there is room, or where nobody can tell from here: the
/// server is not reached by a socket of this machine, or does not name its folder to this user.
std::optional<std::string> find_little_room(pg::Session& session, const pg::Conninfo& conninfo,
                                            std::uint64_t source_bytes);

}  // namespace weir::load
