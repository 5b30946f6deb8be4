// A first plan where GPUs differ or experts are tied to them: greedy, with room made by moves.
#pragma once

#include <memory>
#include <vector>

#include "common/views.hpp"

namespace eplb::rules {

// What holds for the GPUs in every layer.
struct GpuRules {
  std::vector<Index> open_slots;
  // What a plan is to survive the loss of: the GPU itself, or its node. Ids count from 0.
  std::vector<Index> unit;
  std::vector<double> speed;
  // Whether every expert is to stand on two units, and whether no GPU may hold an expert twice.
  bool is_spread;
  bool keeps_apart;
};

// Bytes [num_experts x num_gpus] of one layer; empty where no expert is tied.
struct Ties {
  std::span<const bool> forbidden;
  std::span<const bool> pinned;
};

enum class Flaw { kNone, kNoSlot, kNotSpread, kNothingFits };

// Why a layer has no plan: the expert without a slot or a second unit, or the GPU that stays open.
struct Fault {
  Flaw flaw = Flaw::kNone;
  Index index = -1;
  Index room = 0;
};

class Layer;

// Fills layers one after the other, all of as many experts.
//
// Pinned replicas come first, then one of every other expert, the most loaded first, with spread a
// second one on another unit, then what is worth most in each slot that is left: the largest
// replica that may stand there. Where all GPUs that may take an expert are full, replicas move along
// a shortest chain to a free slot.
class Filler {
 public:
  Filler(const GpuRules& rules, Index num_experts);
  ~Filler();

  // `placed` has equally many slots for each GPU, and -1 stays in the closed ones.
  Fault fill(std::span<const std::int64_t> load, const Ties& ties, std::span<std::int64_t> placed);

 private:
  std::unique_ptr<Layer> layer_;
};

}  // namespace eplb::rules
