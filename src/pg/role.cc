#include "pg/role.h"

namespace weir::pg {

std::string application_name(Role role, std::string_view id) {
  constexpr std::size_t kLongest = 63;
  std::string name = "weir:" + std::string(to_string(role)) + ":" + std::string(id);
  if (name.size() <= kLongest) return name;
  std::size_t end = kLongest;
  while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0U) == 0x80U)
    --end;  // not inside a character
  name.resize(end);
  return name;
}

}  // namespace weir::pg
