#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "cli/term/paint.h"
#include "load/demo_readers.h"

namespace weir::cli {

/// For each way how long its readers waited, over time: bars of which each line is ten times the one below
/// it, over an axis that is thick while the table was replaced. `columns` is what the terminal has room for.
std::string readers_picture(std::span<const load::ReadersDemoWay> ways, std::size_t columns,
                            const Paint& paint);

/// The figures.
std::string readers_table(std::span<const load::ReadersDemoWay> ways, const Paint& paint);

}  // namespace weir::cli
