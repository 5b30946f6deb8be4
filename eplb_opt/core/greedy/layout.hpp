// Slots, groups, nodes and GPUs of one call.
#pragma once

#include "common/views.hpp"

namespace eplb::greedy {

// Slot p is on GPU p / (num_slots / num_gpus), and nodes hold consecutive GPUs. A flat problem is
// the hierarchical one with one group and one node.
struct Layout {
  Index num_experts, num_slots, num_groups, num_nodes, num_gpus;

  Index group_size() const { return num_experts / num_groups; }
  Index node_experts() const { return num_experts / num_nodes; }
  Index node_slots() const { return num_slots / num_nodes; }
  Index node_gpus() const { return num_gpus / num_nodes; }
  Index slots_per_gpu() const { return num_slots / num_gpus; }
};

}  // namespace eplb::greedy
