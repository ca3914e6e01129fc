#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <weir/new_job.h>

namespace weir::queue {

/// Why `text` is no JSON that jsonb can hold; nothing when it is.
std::optional<std::string> find_payload_fault(std::string_view text);

/// Throws weir::Error (usage) that names the field and what is wrong with it. What passes is not refused by
/// the server for its form, so that one bad job does not cost the caller the transaction.
void check_job(const NewJob& job);

}  // namespace weir::queue
