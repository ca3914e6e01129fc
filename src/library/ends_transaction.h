#pragma once

#include <string_view>

namespace weir {

/// Whether a statement ends the transaction that it runs in, to be asked before it is sent: afterwards it is
/// too late for what else is in there. Pure. By its first words, behind blanks and comments; it is one
/// statement, and a procedure or DO block that commits is refused by the server itself.
bool ends_transaction(std::string_view sql) noexcept;

}  // namespace weir
