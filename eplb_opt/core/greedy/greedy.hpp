// The greedy that every engine ships: groups to nodes, replicas, replicas to GPUs (DeepSeek's EPLB).
#pragma once

#include <span>
#include <vector>

#include "common/views.hpp"
#include "greedy/layout.hpp"

namespace eplb::greedy {

// Experts of every node, [num_layers * num_nodes, experts per node]: the groups, by descending
// load, each on the lightest node with room.
std::vector<std::int64_t> node_members(Table<const float> load, const Layout& layout);

// The expert of every slot, [num_layers, num_slots], and the number of every expert's replicas,
// [num_layers, num_experts]. `members` are the experts of every node, one after the other, or empty
// for those of `node_members`.
void place(Table<const float> load, const Layout& layout, std::span<const std::int64_t> members,
           Table<std::int64_t> placed, Table<std::int64_t> counts);

}  // namespace eplb::greedy
