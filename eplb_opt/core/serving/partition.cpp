#include "serving/partition.hpp"

#include <algorithm>
#include <bit>
#include <numeric>

namespace eplb::serving {

namespace {

using GroupSet = std::uint32_t;  // bit g is group g

class Partition {
 public:
  Partition(Index num_groups, Index groups_per_node)
      : groups_per_node_(groups_per_node),
        sum_(std::size_t{1} << num_groups),
        best_(sum_.size()),
        node_(sum_.size()) {}

  // Solve all sets of groups that fill whole nodes, smallest first.
  void solve(std::span<const std::int64_t> group_loads) {
    add_up(group_loads);
    best_[0] = 0;
    for (GroupSet set = 1; set < sum_.size(); ++set) solve_set(set);
  }

  // The node that holds the first group of a set in its best partition.
  GroupSet node_of(GroupSet set) const { return node_[set]; }
  GroupSet all() const { return static_cast<GroupSet>(sum_.size() - 1); }

 private:
  void add_up(std::span<const std::int64_t> group_loads) {
    sum_[0] = 0;
    for (std::size_t group = 0; group < group_loads.size(); ++group) {
      const GroupSet one = GroupSet{1} << group;
      for (GroupSet set = 0; set < one; ++set) sum_[set | one] = sum_[set] + group_loads[group];
    }
  }

  // A set that fills no whole nodes has best -1.
  void solve_set(GroupSet set) {
    best_[set] = -1;
    if (std::popcount(set) % groups_per_node_ != 0) return;
    const GroupSet lowest = set & -set, others = set ^ lowest;
    for (GroupSet part = others;; part = (part - 1) & others) {
      consider(set, part | lowest);
      if (part == 0) return;
    }
  }

  void consider(GroupSet set, GroupSet node) {
    if (std::popcount(node) != groups_per_node_) return;
    const std::int64_t value = std::max(sum_[node], best_[set ^ node]);
    if (best_[set] >= 0 && value >= best_[set]) return;
    best_[set] = value;
    node_[set] = node;
  }

  Index groups_per_node_;
  std::vector<std::int64_t> sum_;   // load of every set of groups
  std::vector<std::int64_t> best_;  // least largest node load of its partitions
  std::vector<GroupSet> node_;
};

std::vector<std::int64_t> group_loads(std::span<const std::int64_t> weight, Index num_groups) {
  const Index size = std::ssize(weight) / num_groups;
  std::vector<std::int64_t> loads(num_groups);
  for (Index group = 0; group < num_groups; ++group) {
    const auto first = weight.begin() + group * size;
    loads[group] = std::accumulate(first, first + size, std::int64_t{0});
  }
  return loads;
}

}  // namespace

std::vector<std::int64_t> lightest_partition(const FixedLoads& loads, Index num_groups,
                                             Index num_nodes) {
  const Index num_layers = std::ssize(loads.unit), size = loads.num_experts / num_groups;
  Partition partition(num_groups, num_groups / num_nodes);
  std::vector<std::int64_t> members;
  members.reserve(loads.weights.size());
  for (Index layer = 0; layer < num_layers; ++layer) {
    partition.solve(group_loads(loads.layer(layer), num_groups));
    for (GroupSet left = partition.all(); left != 0; left ^= partition.node_of(left)) {
      for (Index group = 0; group < num_groups; ++group) {
        if ((partition.node_of(left) >> group & 1) == 0) continue;
        for (Index i = 0; i < size; ++i) members.push_back(group * size + i);
      }
    }
  }
  return members;
}

}  // namespace eplb::serving
