#include "greedy/maps.hpp"

#include <algorithm>
#include <vector>

#include "common/wide.hpp"

namespace eplb::greedy {

EPLB_WIDE void list_slots(Table<const std::int64_t> placed, Index width, Table<std::int64_t> slots) {
  const Index num_experts = slots.columns() / width;
  std::vector<Index> next(num_experts);
  for (Index layer = 0; layer < placed.rows(); ++layer) {
    const std::span<std::int64_t> listed = slots[layer];
    std::ranges::fill(listed, -1);
    for (Index expert = 0; expert < num_experts; ++expert) next[expert] = expert * width;
    const std::span<const std::int64_t> expert_of = placed[layer];
    for (Index slot = 0; slot < std::ssize(expert_of); ++slot) {
      listed[next[expert_of[slot]]++] = slot;
    }
  }
}

}  // namespace eplb::greedy
