#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "pg/error.h"

namespace weir::load {

/// A right is missing: found before anything was done, or said by the server. The remedy is the GRANT.
class MissingRight final : public Error {
 public:
  MissingRight(const std::string& message, std::string remedy);
};

/// The server has refused for a missing right, and not a row for a policy (those are rejects).
bool is_of_rights(const pg::Error& error);

/// What to GRANT; `on_tables` is what a table is wanted for, an empty role is nobody known. Pure.
std::string grant_for(const pg::ErrorInfo& refused, std::string_view role, std::string_view on_tables);

}  // namespace weir::load
