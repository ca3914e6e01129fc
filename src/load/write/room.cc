#include "load/write/room.h"

#include <sys/statvfs.h>

#include <fmt/format.h>

#include "base/text.h"
#include "pg/conninfo.h"
#include "pg/session.h"
#include "schema/queries/load_stages.h"

namespace weir::load {

std::optional<std::string> find_little_room(pg::Session& session, const pg::Conninfo& conninfo,
                                            std::uint64_t source_bytes) {
  if (source_bytes == 0 || !conninfo.get("host").value_or("").starts_with('/')) return std::nullopt;
  const auto answer = session.run<sql::LoadStageFolder>();
  if (answer.empty() || !answer[0].folder) return std::nullopt;
  const std::string folder(*answer[0].folder);
  struct statvfs disk {};
  if (::statvfs(folder.c_str(), &disk) != 0) return std::nullopt;
  const std::uint64_t free = std::uint64_t{disk.f_bavail} * std::uint64_t{disk.f_frsize};
  if (source_bytes <= free) return std::nullopt;
  return fmt::format(
      "the source has {}, and {} are free in {}, where its stage will be, as far as can be told from here",
      human_bytes(source_bytes), human_bytes(free), printable(folder));
}

}  // namespace weir::load
