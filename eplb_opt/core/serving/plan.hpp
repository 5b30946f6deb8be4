// The plan of one node of a layer, of the whole layer where the problem is flat.
#pragma once

#include <algorithm>
#include <span>

#include "common/views.hpp"

namespace eplb::serving {

struct NodeShape {
  Index num_slots, num_gpus, num_experts;

  Index slots_per_gpu() const { return num_slots / num_gpus; }
  Index plan_size() const { return 2 * num_slots + num_gpus + num_experts; }
};

// Slot k * num_gpus + g is the k-th of GPU g, so that a loop over GPUs runs over neighbours in
// memory. Loads are in fixed point.
class Plan {
 public:
  // In memory of shape.plan_size() numbers, which somebody else owns.
  Plan(const NodeShape& shape, std::int64_t* memory)
      : all(memory, shape.plan_size()),
        expert(all.subspan(0, shape.num_slots)),
        size(all.subspan(shape.num_slots, shape.num_slots)),
        load(all.subspan(2 * shape.num_slots, shape.num_gpus)),
        count(all.subspan(2 * shape.num_slots + shape.num_gpus)) {}

  Index num_slots() const { return std::ssize(expert); }
  Index num_gpus() const { return std::ssize(load); }
  Index slots_per_gpu() const { return num_slots() / num_gpus(); }
  Index gpu_of(Index slot) const { return slot % num_gpus(); }
  std::int64_t largest_load() const { return std::ranges::max(load); }

  // The GPU with the largest load, the first of equals.
  Index heaviest() const { return std::ranges::find(load, largest_load()) - load.begin(); }

  void copy_from(const Plan& other) const { std::ranges::copy(other.all, all.begin()); }

  // The slots' experts, GPU after GPU.
  void write(std::span<std::int64_t> placed) const {
    Index slot = 0;
    for (Index gpu = 0; gpu < num_gpus(); ++gpu) {
      for (Index at = gpu; at < num_slots(); at += num_gpus()) placed[slot++] = expert[at];
    }
  }

  void swap(Index p, Index q) const {
    const std::int64_t moved = size[p] - size[q];
    std::swap(expert[p], expert[q]);
    std::swap(size[p], size[q]);
    load[gpu_of(p)] -= moved;
    load[gpu_of(q)] += moved;
  }

  std::span<std::int64_t> all;
  std::span<std::int64_t> expert, size;  // of every slot
  std::span<std::int64_t> load;          // of every GPU
  std::span<std::int64_t> count;         // replicas of every expert
};

}  // namespace eplb::serving
