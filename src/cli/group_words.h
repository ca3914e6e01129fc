#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cli/command.h"
#include "group/overview.h"
#include "pg/session.h"

// What the commands about feeds, batches and groups share: words in.

namespace weir::cli {

/// The value of --feed, else 'default'.
std::string feed_option(const Context& context);
/// --feed where it or --sink was given: a sink without a feed is one of 'default'.
std::optional<std::string> feed_if_named(const Context& context);

/// The only word. Throws the usage error that shows `usage`; `what` is asked for ("which feed?").
const std::string& only_word(const Context& context, std::string_view what, std::string_view usage);

/// Throws the error that names what would be lost, unless --yes was given.
void need_yes(const Context& context, const std::string& what_is_lost, const std::string& remedy);

/// "1 batch", "2 batches"
std::string batches_text(std::int64_t count);

}  // namespace weir::cli
