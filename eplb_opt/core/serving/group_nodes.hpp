// Homes of groups: before there is a plan, and for one that is there.
#pragma once

#include <span>
#include <vector>

#include "serving/locality.hpp"

namespace eplb::serving {

// The node of each group with which little load lies beyond the nodes' parts of the mean: the
// heaviest group first to the node that has most room, then exchanges of groups while they help.
//
// `weight` are the experts' loads in fixed point.
std::vector<Index> level_homes(const Locality& locality, const Grid& grid,
                               std::span<const std::int64_t> weight);

// The node of each group that keeps most of a plan's load at home.
//
// `served` is what each node serves of each group's load, [num_groups * num_nodes].
std::vector<Index> best_homes(const Locality& locality, std::span<const std::int64_t> served);

}  // namespace eplb::serving
