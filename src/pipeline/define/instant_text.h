#pragma once

#include <string_view>

namespace weir::pipeline {

/// "2026-01-31", a day that there is.
bool is_date_text(std::string_view text);
/// A date, "2026-01-31 06:00" or "2026-01-31T06:00:00.5", with or without "Z" or "+02:00".
bool is_timestamp_text(std::string_view text);

}  // namespace weir::pipeline
