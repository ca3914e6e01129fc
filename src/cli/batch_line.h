#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace weir::cli {

/// weir.submit_batch() takes no other.
inline constexpr int kMostBatchIndex = 1'000'000'000;

/// What is wrong with a line that is to be a batch, {"tenant": "..", "key": "..", "payload": ..} with run,
/// index, final, rows and bytes where they are wanted; nothing when it is good. Pure.
std::optional<std::string> find_batch_line_fault(std::string_view line);

}  // namespace weir::cli
