#include "pg/hosts.h"

#include <algorithm>
#include <string_view>

#include "base/text.h"

namespace weir::pg {
namespace {

std::vector<std::string_view> items(std::string_view list) {
  std::vector<std::string_view> found;
  for (;;) {
    const std::size_t end = list.find(',');
    found.push_back(trim(list.substr(0, end)));
    if (end == list.npos) return found;
    list.remove_prefix(end + 1);
  }
}

/// A list with one item stands for all hosts only where libpq says so: ports.
bool fits(std::string_view key, std::size_t items, std::size_t hosts) {
  return items == hosts || (key == "port" && items == 1);
}

std::vector<Conninfo> with_attributes(const std::vector<Conninfo>& hosts, std::string_view attributes) {
  std::vector<Conninfo> changed = hosts;
  for (Conninfo& host : changed) host.set("target_session_attrs", attributes);
  return changed;
}

}  // namespace

std::vector<Conninfo> single_hosts(const Conninfo& conninfo) {
  std::size_t count = 1;
  for (const std::string_view key : {"host", "hostaddr"})
    count = std::max(count, items(conninfo.get(key).value_or("")).size());
  if (count == 1) return {conninfo};

  std::vector<Conninfo> hosts(count, conninfo);
  for (const std::string_view key : {"host", "hostaddr", "port"}) {
    const auto list = conninfo.get(key);
    if (!list) continue;
    const auto values = items(*list);
    if (!fits(key, values.size(), count)) return {conninfo};
    for (std::size_t i = 0; i < count; ++i) hosts[i].set(key, values[values.size() == 1 ? 0 : i]);
  }
  if (conninfo.get("target_session_attrs") != "prefer-standby") return hosts;
  // Two rounds, as libpq does: a standby anywhere before anything else.
  std::vector<Conninfo> rounds = with_attributes(hosts, "standby");
  const auto second = with_attributes(hosts, "any");
  rounds.insert(rounds.end(), second.begin(), second.end());
  return rounds;
}

}  // namespace weir::pg
