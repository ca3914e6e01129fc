// Large pipelines, and the order of tasks against brute force.
#include <algorithm>
#include <string>

#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include "pipeline/define/definition_json.h"
#include "pipeline/define/graph.h"
#include "support/project_text.h"

namespace weir::test {
namespace {

using namespace pipeline;
using ::testing::IsEmpty;

std::string many_tasks(int count) {
  std::string text = "tasks:\n";
  for (int i = 0; i < count; ++i) {
    text += fmt::format(
        "  aufgabe_ä_{0}:\n    run: [python3, score.py, \"--part={0}\"]\n    retry: {{attempts: 3, delay: "
        "10s}}\n",
        i);
    if (i > 2) text += fmt::format("    after: [aufgabe_ä_{}, aufgabe_ä_{}]\n", i - 1, i / 2);
  }
  return text;
}

TEST(PipelineScale, FiveThousandTasksAreReadAtOnce) {
  const std::string text = many_tasks(5'000);
  const ReadProject read = read_files({{"pipelines/p/pipeline.yml", text}});
  ASSERT_TRUE(read.diagnostics.ok()) << to_text(read.diagnostics).substr(0, 500);
  EXPECT_EQ(read.project.pipelines.at(0).tasks.size(), 5'000U);
  EXPECT_EQ(pipeline_from_json(to_json(read.project.pipelines.at(0))).tasks.size(), 5'000U);
}

TEST(PipelineScale, AFanOfThousandsAndALongChainHaveAnOrder) {
  constexpr int kCount = 100'000;
  std::vector<std::vector<int>> fan(kCount);
  for (int i = 1; i < kCount - 1; ++i) {
    fan[static_cast<std::size_t>(i)] = {0};
    fan[kCount - 1].push_back(i);
  }
  EXPECT_EQ(topological_order(fan).order.size(), fan.size());
  std::vector<std::vector<int>> chain(kCount);
  for (int i = 0; i + 1 < kCount; ++i) chain[static_cast<std::size_t>(i)] = {i + 1};
  EXPECT_EQ(topological_order(chain).order.front(), kCount - 1);
  chain[kCount - 1] = {0};
  const Order ring = topological_order(chain);
  ASSERT_EQ(ring.cycles.size(), 1U);
  EXPECT_EQ(ring.cycles.front().size(), chain.size());
}

RC_GTEST_PROP(PipelineGraph, AnOrderOrACycle, ()) {
  const auto count = *rc::gen::inRange(1, 12);
  std::vector<std::vector<int>> upstream(static_cast<std::size_t>(count));
  for (auto& before : upstream) {
    before = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, count));
    before.resize(std::min<std::size_t>(before.size(), 2));
    std::sort(before.begin(), before.end());
    before.erase(std::unique(before.begin(), before.end()), before.end());
  }
  const Order order = topological_order(upstream);
  // Brute force: take away what nothing is left before, until there is no such thing.
  std::vector<bool> gone(upstream.size(), false);
  for (bool any = true; any;) {
    any = false;
    for (std::size_t i = 0; i < upstream.size(); ++i) {
      const bool free = std::all_of(upstream[i].begin(), upstream[i].end(),
                                    [&](int up) { return gone[static_cast<std::size_t>(up)]; });
      if (gone[i] || !free) continue;
      gone[i] = any = true;
    }
  }
  const bool acyclic = std::all_of(gone.begin(), gone.end(), [](bool one) { return one; });
  RC_ASSERT(order.cycles.empty() == acyclic);
  std::vector<bool> seen(upstream.size(), false);
  for (const int node : order.order) {
    for (const int up : upstream[static_cast<std::size_t>(node)])
      RC_ASSERT(seen[static_cast<std::size_t>(up)]);
    seen[static_cast<std::size_t>(node)] = true;
  }
  for (const auto& cycle : order.cycles) {
    for (std::size_t i = 0; i < cycle.size(); ++i) {
      const auto& before = upstream[static_cast<std::size_t>(cycle[(i + 1) % cycle.size()])];
      RC_ASSERT(std::find(before.begin(), before.end(), cycle[i]) != before.end());
    }
  }
}

}  // namespace
}  // namespace weir::test
