// Where a layer's experts are, traced once, so that loads can be split again and again.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/views.hpp"

namespace eplb::dispatch {

// Experts with one host, and the pairs (expert, host) of those with several. Two slots of an expert
// on one GPU are one host.
struct LayerRoutes {
  Index num_experts, num_gpus;
  std::vector<std::int32_t> alone, alone_gpu;    // experts with one host, and that host
  std::vector<std::int32_t> many;                // experts with several, fewest hosts first
  Index num_twins;                               // how many of these have two
  std::vector<std::int32_t> first;               // where the pairs of each begin, and the end
  std::vector<std::int32_t> gpu, owner;          // by pair: host, place in `many`
  std::vector<double> part;                      // by pair: what each of its slots gets, 1 / slots
  std::vector<std::int32_t> gpu_begin;           // where the pairs of each GPU begin, and the end
  std::vector<std::int32_t> gpu_pair;            // pairs, GPU by GPU
  std::vector<std::int32_t> slot, slot_pair;     // slots of the pairs, and the pair of each
  std::vector<double> even;                      // by slot: the even split, 0 in an empty slot

  // `placed` holds expert ids below `num_experts`, and -1 in an empty slot; its size is a multiple
  // of `num_gpus`.
  static LayerRoutes trace(std::span<const std::int64_t> placed, Index num_experts, Index num_gpus);

  Index num_pairs() const { return std::ssize(gpu); }
};

}  // namespace eplb::dispatch
