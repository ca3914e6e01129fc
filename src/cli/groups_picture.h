#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "cli/term/paint.h"
#include "group/demo_groups.h"

namespace weir::cli {

/// For each way how many batches ended in a second, over time: bars over an axis that is thick while somebody
/// held the row. All ways have the same scale. `columns` is what the terminal has room for.
std::string groups_picture(std::span<const group::GroupsDemoWay> ways, std::size_t columns,
                           const Paint& paint);

/// The figures.
std::string groups_table(std::span<const group::GroupsDemoWay> ways, const Paint& paint);

}  // namespace weir::cli
