#pragma once

#include <string>

namespace weir::pipeline {

/// A place in a file of the project, for people: lines and columns count from 1, columns in characters.
struct Position {
  std::string file;
  int line = 0;
  int column = 0;
  bool operator==(const Position&) const = default;
};

}  // namespace weir::pipeline
