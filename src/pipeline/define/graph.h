#pragma once

#include <vector>

namespace weir::pipeline {

struct Order {
  std::vector<int> order;  ///< every node behind those before it; of several the lowest number first
  std::vector<std::vector<int>>
      cycles;  ///< each in the order in which its nodes wait for one another; then `order` is short
};

/// Of nodes 0..n-1, `upstream[i]` being the nodes before i. In time proportional to the edges (times a
/// logarithm), and without recursion.
Order topological_order(const std::vector<std::vector<int>>& upstream);

}  // namespace weir::pipeline
