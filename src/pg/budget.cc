#include "pg/budget.h"

#include <algorithm>
#include <numeric>

namespace weir::pg {
namespace {

std::string limits_in_words(const ConnectionLimits& limits) {
  std::string text = "max_connections " + std::to_string(limits.max_connections) + " - reserved " +
                     std::to_string(limits.reserved) + " = " +
                     std::to_string(limits.max_connections - limits.reserved);
  if (limits.role_limit >= 0) text += ", the role's own limit is " + std::to_string(limits.role_limit);
  if (limits.database_limit >= 0)
    text += ", the database's own limit is " + std::to_string(limits.database_limit);
  return text;
}

}  // namespace

int Budget::per_process() const noexcept {
  return std::accumulate(lines.begin(), lines.end(), 0,
                         [](int sum, const BudgetLine& line) { return sum + line.sessions; });
}

std::string Budget::arithmetic() const {
  std::string text;
  for (const BudgetLine& line : lines) {
    if (!text.empty()) text += " + ";
    text += std::string(to_string(line.role)) + " " + std::to_string(line.sessions);
  }
  return text + " = " + std::to_string(per_process()) + " sessions x " + std::to_string(processes) +
         (processes == 1 ? " process = " : " processes = ") + std::to_string(total());
}

int available_sessions(const ConnectionLimits& limits) noexcept {
  int available = limits.max_connections - limits.reserved;
  if (limits.role_limit >= 0) available = std::min(available, limits.role_limit);
  if (limits.database_limit >= 0) available = std::min(available, limits.database_limit);
  return std::max(available, 0);
}

std::optional<weir::Error> check_budget(const Budget& budget, const ConnectionLimits& limits) {
  const int available = available_sessions(limits);
  if (budget.total() <= available) return std::nullopt;
  return weir::Error(
      ExitCode::refused,
      "the connection budget does not fit: " + budget.arithmetic() + ", but the server leaves " +
          std::to_string(available) + " (" + limits_in_words(limits) + ")",
      "Lower the concurrency or the number of processes, raise max_connections (restart needed), or lift the "
      "role's or database's CONNECTION LIMIT.");
}

}  // namespace weir::pg
