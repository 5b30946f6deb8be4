#include "serving/checker.hpp"

#include <algorithm>
#include <vector>

namespace eplb::serving {

namespace {

class LayerChecker {
 public:
  LayerChecker(Index num_experts, Index num_slots, Topology topology)
      : topology_(topology),
        group_size_(num_experts / topology.num_groups),
        node_slots_(num_slots / topology.num_nodes),
        count_(num_experts),
        home_(topology.num_groups),
        groups_held_(topology.num_nodes) {}

  bool accepts(std::span<const std::int64_t> placed, std::span<const std::int64_t> counts) {
    return counts_replicas(placed) && std::ranges::equal(count_, counts) &&
           std::ranges::find(count_, 0) == count_.end() &&
           (topology_.num_nodes == 1 || keeps_groups_together(placed));
  }

 private:
  bool counts_replicas(std::span<const std::int64_t> placed) {
    std::ranges::fill(count_, 0);
    for (const std::int64_t expert : placed) {
      if (expert < 0 || expert >= std::ssize(count_)) return false;
      ++count_[expert];
    }
    return true;
  }

  bool keeps_groups_together(std::span<const std::int64_t> placed) {
    std::ranges::fill(home_, -1);
    std::ranges::fill(groups_held_, 0);
    for (Index slot = 0; slot < std::ssize(placed); ++slot) {
      const Index group = placed[slot] / group_size_, node = slot / node_slots_;
      if (home_[group] < 0) {
        home_[group] = node;
        ++groups_held_[node];
      } else if (home_[group] != node) {
        return false;
      }
    }
    const Index share = topology_.num_groups / topology_.num_nodes;
    return std::ranges::all_of(groups_held_, [share](Index held) { return held == share; });
  }

  Topology topology_;
  Index group_size_, node_slots_;
  std::vector<std::int64_t> count_, home_, groups_held_;
};

}  // namespace

Index first_offence(Table<const std::int64_t> placed, Table<const std::int64_t> counts,
                    Topology topology) {
  LayerChecker checker(counts.columns(), placed.columns(), topology);
  for (Index layer = 0; layer < placed.rows(); ++layer) {
    if (!checker.accepts(placed[layer], counts[layer])) return layer;
  }
  return -1;
}

}  // namespace eplb::serving
