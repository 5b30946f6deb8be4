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
        node_(sum_.size()),
        beginning_with_(num_groups) {
    for (GroupSet node = all(); node > 0; --node) {
      if (std::popcount(node) == groups_per_node) {
        beginning_with_[std::countr_zero(node)].push_back(node);
      }
    }
  }

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

  // Sets that fill no whole nodes are not asked for.
  void solve_set(GroupSet set) {
    const Index size = std::popcount(set);
    if (size % groups_per_node_ != 0) return;
    best_[set] = sum_[set];
    node_[set] = set;
    if (size == groups_per_node_) return;
    for (const GroupSet node : beginning_with_[std::countr_zero(set)]) {
      if ((node & ~set) != 0) continue;
      const std::int64_t value = std::max(sum_[node], best_[set ^ node]);
      if (node_[set] != set && value >= best_[set]) continue;
      best_[set] = value;
      node_[set] = node;
    }
  }

  Index groups_per_node_;
  std::vector<std::int64_t> sum_;   // load of every set of groups
  std::vector<std::int64_t> best_;  // least largest node load of its partitions
  std::vector<GroupSet> node_;
  std::vector<std::vector<GroupSet>> beginning_with_;  // nodes by their first group
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

// A partition, node after node, and the load of its heaviest node.
struct Shared {
  std::int64_t heaviest;
  std::vector<GroupSet> nodes;
};

// All partitions of some groups, each once: a node begins with the first group that is left.
class AllPartitions {
 public:
  AllPartitions(std::span<const std::int64_t> group_loads, Index groups_per_node)
      : loads_(group_loads), groups_per_node_(groups_per_node) {
    go_on((GroupSet{1} << loads_.size()) - 1);
  }

  // The lightest ones first.
  std::vector<Shared> ranked() && {
    std::ranges::stable_sort(found_, {}, &Shared::heaviest);
    return std::move(found_);
  }

 private:
  void go_on(GroupSet left) {
    if (left == 0) {
      found_.push_back(now_);
      return;
    }
    const GroupSet lowest = left & -left, others = left ^ lowest;
    for (GroupSet part = others;; part = (part - 1) & others) {
      if (std::popcount(part) + 1 == groups_per_node_) fill_node(part | lowest, left);
      if (part == 0) return;
    }
  }

  void fill_node(GroupSet node, GroupSet left) {
    const std::int64_t before = now_.heaviest;
    std::int64_t load = 0;
    for (std::size_t group = 0; group < loads_.size(); ++group) {
      if (node >> group & 1) load += loads_[group];
    }
    now_.heaviest = std::max(before, load);
    now_.nodes.push_back(node);
    go_on(left ^ node);
    now_.nodes.pop_back();
    now_.heaviest = before;
  }

  std::span<const std::int64_t> loads_;
  Index groups_per_node_;
  Shared now_{0, {}};
  std::vector<Shared> found_;
};

// How many there are, about: (num_groups)! / (groups_per_node!)^num_nodes / num_nodes!.
double number_of_partitions(Index num_groups, Index num_nodes) {
  double number = 1;
  Index left = num_groups;
  for (Index node = 0; node < num_nodes; ++node) {
    for (Index i = 1; i < num_groups / num_nodes; ++i) {
      number = number * static_cast<double>(left - i) / static_cast<double>(i);
    }
    left -= num_groups / num_nodes;
  }
  return number;
}

void name_experts(GroupSet node, Index num_groups, Index size, std::vector<std::int64_t>& members) {
  for (Index group = 0; group < num_groups; ++group) {
    if ((node >> group & 1) == 0) continue;
    for (Index i = 0; i < size; ++i) members.push_back(group * size + i);
  }
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
      name_experts(partition.node_of(left), num_groups, size, members);
    }
  }
  return members;
}

std::vector<std::vector<std::int64_t>> lightest_partitions(const FixedLoads& loads,
                                                           Index num_groups, Index num_nodes,
                                                           std::size_t most,
                                                           const std::vector<bool>& wanted) {
  if (number_of_partitions(num_groups, num_nodes) > kMostPartitions) return {};
  std::vector<std::vector<std::int64_t>> members(most);
  for (Index layer = 0; layer < std::ssize(loads.unit); ++layer) {
    if (!wanted[layer]) {
      for (std::vector<std::int64_t>& all : members) {
        for (Index expert = 0; expert < loads.num_experts; ++expert) all.push_back(expert);
      }
      continue;
    }
    const std::vector<std::int64_t> sums = group_loads(loads.layer(layer), num_groups);
    const std::vector<Shared> ranked = AllPartitions(sums, num_groups / num_nodes).ranked();
    for (std::size_t rank = 0; rank < most; ++rank) {
      for (const GroupSet node : ranked[std::min(rank, ranked.size() - 1)].nodes) {
        name_experts(node, num_groups, loads.num_experts / num_groups, members[rank]);
      }
    }
  }
  return members;
}

}  // namespace eplb::serving
