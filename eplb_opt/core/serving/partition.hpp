// Groups to nodes: the partition whose heaviest node is the lightest, by dynamic programming.
#pragma once

#include <vector>

#include "common/views.hpp"
#include "serving/fixed_point.hpp"

namespace eplb::serving {

// Sets of groups that the dynamic program goes through are those of so many groups at most.
constexpr Index kMostGroups = 12;

// The experts of every node, [num_layers * num_nodes, experts per node], one after the other. Each
// node takes equally many of the consecutive groups of experts, of which there are at most
// kMostGroups.
std::vector<std::int64_t> lightest_partition(const FixedLoads& loads, Index num_groups,
                                             Index num_nodes);

// The same for every one of the lightest partitions of each wanted layer, at most `most` of them, by
// the load of the heaviest node; a layer with fewer repeats its last, the other layers have any.
// None where there are more than kMostPartitions.
constexpr double kMostPartitions = 500;
std::vector<std::vector<std::int64_t>> lightest_partitions(const FixedLoads& loads,
                                                           Index num_groups, Index num_nodes,
                                                           std::size_t most,
                                                           const std::vector<bool>& wanted);

}  // namespace eplb::serving
