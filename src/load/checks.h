#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "load/load.h"
#include "load/open_source.h"

namespace weir::load {

/// Whether somebody has given an option, called as `weir load` calls it: "max-rejects".
using Said = std::function<bool(std::string_view option)>;

/// For those who fill in the options themselves: what differs from a load of which nothing was said.
bool is_said(const SourceChoice& source, const LoadOptions& options, std::string_view option);

// What cannot be meant, from what was said alone. All throw usage, with what to say instead; the options are
// named as `weir load` names them. Pure.

/// None empty and none twice.
void check_names(std::string_view option, const std::vector<std::string>& names);
void check_source(const SourceChoice& source, const Said& said);
void check_window(const Window& window);
/// Mode, key, limits, and what of the rest has no meaning with them.
void check_spec(const LoadSpec& spec, const Said& said);
/// How long it waits, and how long the server may work: what the server has no meaning for, or another one.
void check_patience(const ApplyOptions& options);
/// The state that is to be committed.
void check_state(const LoadOptions& options);
/// Of a Singer tap, which says most things itself. `into` is a table, SCHEMA.* or *.
void check_tap(const SourceChoice& source, const std::string& into, const Said& said);

}  // namespace weir::load
