// Nodes, groups and the price of a call in which groups have homes that bind nobody.
#pragma once

#include <algorithm>
#include <vector>

#include "common/views.hpp"
#include "serving/plan.hpp"

namespace eplb::serving {

// Consecutive GPUs make a node, consecutive experts a group; the last ones may be smaller, and none
// is empty.
struct Locality {
  Index num_experts, num_slots, num_groups, num_nodes, num_gpus;
  double price;  // of all load served away from home, in mean GPU loads

  Index slots_per_gpu() const { return num_slots / num_gpus; }
  Index gpus_per_node() const { return (num_gpus + num_nodes - 1) / num_nodes; }
  Index slots_per_node() const { return gpus_per_node() * slots_per_gpu(); }
  Index gpus_of(Index node) const {
    return std::min(gpus_per_node(), num_gpus - node * gpus_per_node());
  }
  Index slots_of(Index node) const { return gpus_of(node) * slots_per_gpu(); }
  Index group_size() const { return (num_experts + num_groups - 1) / num_groups; }
  Index group_of(Index expert) const { return expert / group_size(); }
  // Nodes are home to equally many groups, or to numbers that differ by one.
  Index least_groups() const { return num_groups / num_nodes; }
  Index most_groups() const { return (num_groups + num_nodes - 1) / num_nodes; }

  NodeShape node_shape() const { return {slots_per_node(), gpus_per_node(), num_experts}; }

  // What a plan costs, in units of load: mean loads are these over the GPUs. Sums and products are
  // made in one order, so that every machine gets the same.
  double cost(std::int64_t largest, double away) const {
    return static_cast<double>(largest) * static_cast<double>(num_gpus) + price * away;
  }
};

// Where slots are, and groups' experts, looked up rather than divided out anew in every layer.
struct Grid {
  explicit Grid(const Locality& locality)
      : width((locality.num_slots + kVector - 1) / kVector * kVector),
        gpu(locality.num_slots),
        node(locality.num_slots),
        group(locality.num_experts),
        is_far(width * locality.num_nodes) {
    for (Index slot = 0; slot < locality.num_slots; ++slot) {
      gpu[slot] = slot / locality.slots_per_gpu();
      node[slot] = gpu[slot] / locality.gpus_per_node();
      for (Index n = 0; n < locality.num_nodes; ++n) {
        is_far[n * width + slot] = n == node[slot] ? 0.0 : 1.0;
      }
    }
    for (Index expert = 0; expert < locality.num_experts; ++expert) {
      group[expert] = locality.group_of(expert);
    }
  }

  static constexpr Index kVector = 4;  // numbers that are looked at at once

  Index width;  // of rows with a number for every slot, padded to whole vectors
  std::vector<Index> gpu, node, group;
  std::vector<double> is_far;  // for every node, which slots are on others
};

}  // namespace eplb::serving
