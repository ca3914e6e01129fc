#pragma once

#include <cstdint>
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

/// What the refused statement was for.
enum class Purpose : std::uint8_t { reading, loading };

/// Whether it names this table. The server says no schema: one of the same name may be meant.
bool names_table(const pg::ErrorInfo& refused, std::string_view table);

/// What to GRANT; an empty role is nobody known. Of tables that a load meets besides its target (of a check,
/// a trigger, a view) nobody knows what they are wanted for. Pure.
std::string grant_for(const pg::ErrorInfo& refused, std::string_view role, Purpose purpose);

}  // namespace weir::load
