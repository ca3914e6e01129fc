#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "pg/error.h"
#include "pg/session.h"

namespace weir::work {

/// SQL of a user as one statement of the transaction at hand. It runs in a DO block, because a COMMIT in it
/// would keep its effects without the outcomes, or the other way round: there it cannot end a transaction.
/// The search_path, as SET takes it and empty for none, is that of the caller again afterwards; after an
/// error the caller's savepoint sees to that. Throws misuse when the text cannot be sent.
std::string user_script(std::string_view sql, std::string_view search_path);

/// The script under a limit that the server keeps, by itself: it ends the statement, not the session.
std::string bounded_script(std::string script, std::optional<Duration> timeout);
/// For the next statements of the transaction at hand. Nothing: as the server has it.
std::string set_statement_timeout(std::optional<Duration> timeout);

/// For who has tried a script without anything to work on: throws, with the place in the user's text, where
/// `error` says that it cannot work at all. What may be for want of something to work on is no reason.
void refuse_broken_script(const pg::Session& session, std::string_view sql, const pg::Error& error,
                          std::string_view remedy);

}  // namespace weir::work
