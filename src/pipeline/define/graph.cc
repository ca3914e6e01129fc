#include "pipeline/define/graph.h"

#include <algorithm>
#include <cstddef>
#include <set>

namespace weir::pipeline {
namespace {

using Edges = std::vector<std::vector<int>>;

std::size_t at(int node) noexcept { return static_cast<std::size_t>(node); }

/// Every node that is left has one before it that is left, so the way back never ends: where it meets itself
/// is a cycle.
std::vector<std::vector<int>> find_cycles(const Edges& upstream, const std::vector<bool>& done) {
  std::vector<std::vector<int>> cycles;
  std::vector<int> walk_of(upstream.size(), -1);
  for (int start = 0; at(start) < upstream.size(); ++start) {
    if (done[at(start)] || walk_of[at(start)] >= 0) continue;
    std::vector<int> path;
    int node = start;
    while (walk_of[at(node)] < 0) {
      walk_of[at(node)] = start;
      path.push_back(node);
      node = *std::find_if(upstream[at(node)].begin(), upstream[at(node)].end(),
                           [&](int up) { return !done[at(up)]; });
    }
    // It may have led into a cycle that an earlier walk has found.
    if (walk_of[at(node)] != start) continue;
    std::vector<int> cycle(std::find(path.begin(), path.end(), node), path.end());
    std::reverse(cycle.begin(), cycle.end());
    std::rotate(cycle.begin(), std::min_element(cycle.begin(), cycle.end()), cycle.end());
    cycles.push_back(std::move(cycle));
  }
  return cycles;
}

}  // namespace

Order topological_order(const Edges& upstream) {
  Order result;
  Edges downstream(upstream.size());
  std::vector<std::size_t> missing(upstream.size());
  std::set<int> ready;
  for (int node = 0; at(node) < upstream.size(); ++node) {
    missing[at(node)] = upstream[at(node)].size();
    if (missing[at(node)] == 0) ready.insert(node);
    for (const int up : upstream[at(node)]) downstream[at(up)].push_back(node);
  }
  std::vector<bool> done(upstream.size(), false);
  while (!ready.empty()) {
    const int node = *ready.begin();
    ready.erase(ready.begin());
    done[at(node)] = true;
    result.order.push_back(node);
    for (const int down : downstream[at(node)]) {
      if (--missing[at(down)] == 0) ready.insert(down);
    }
  }
  if (result.order.size() < upstream.size()) result.cycles = find_cycles(upstream, done);
  return result;
}

}  // namespace weir::pipeline
