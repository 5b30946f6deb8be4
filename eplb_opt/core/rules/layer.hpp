// One layer while it is filled: what stands where, and what that makes of the GPUs' loads.
#pragma once

#include <vector>

#include "common/views.hpp"
#include "rules/fill.hpp"
#include "rules/lightest.hpp"

namespace eplb::rules {

class Layer {
 public:
  Layer(const GpuRules& rules, Index num_experts);

  // An empty layer of these loads; what the last one took is used again.
  void begin(std::span<const std::int64_t> load, const Ties& ties);

  Index num_experts() const { return std::ssize(count_); }
  Index num_gpus() const { return std::ssize(rules_.open_slots); }
  Index count(Index expert) const { return count_[expert]; }
  Index room(Index gpu) const { return room_[gpu]; }
  double load(Index expert) const { return load_[expert]; }
  const std::vector<Index>& held(Index gpu) const { return held_[gpu]; }
  bool is_open(Index gpu) const { return rules_.open_slots[gpu] > 0; }
  bool is_pinned(Index expert, Index gpu) const {
    return !ties_.pinned.empty() && ties_.pinned[at(expert, gpu)];
  }

  // Whether the expert has the replicas that the rules ask for.
  bool is_placed(Index expert) const;
  // Whether a replica may stand there at all, and whether one of those that the expert needs may.
  bool may_take(Index gpu, Index expert) const;
  bool may_begin(Index gpu, Index expert) const;
  // Whether a replica may change places, its expert's others staying where they are.
  bool may_move(Index expert, Index source, Index target) const;

  void put(Index expert, Index gpu);
  // A replica changes places; the room of the two GPUs stays as it is.
  void move(Index expert, Index source, Index target);
  // A slot of the one GPU is free now and one of the other no longer.
  void shift_room(Index from, Index to);

  // The GPU with room that a further replica loads least, the first of equals; -1 where none may
  // take it. `begins` asks for one of the replicas that the expert needs.
  Index lightest(Index expert, bool begins) const;

 private:
  Index at(Index expert, Index gpu) const { return expert * num_gpus() + gpu; }
  Index home(Index expert, Index gpu) const { return expert * num_units_ + rules_.unit[gpu]; }
  // Replicas of the expert on the GPU's unit.
  std::int32_t at_home(Index expert, Index gpu) const {
    return at_home_.empty() ? copies_[at(expert, gpu)] : at_home_[home(expert, gpu)];
  }
  double share(Index expert) const { return load_[expert] / static_cast<double>(count_[expert]); }
  void stand(Index expert, Index gpu, std::int32_t change);
  void add_load(Index gpu, double change);
  void set_room(Index gpu, Index room);

  const GpuRules& rules_;
  Ties ties_;
  Index num_units_;
  std::vector<double> load_, filled_;
  OpenGpus open_;
  std::vector<Index> count_, room_;
  std::vector<std::int32_t> copies_;      // [num_experts x num_gpus]
  std::vector<std::int32_t> at_home_;     // [num_experts x num_units]; empty where GPUs are units
  std::vector<Index> num_homes_;          // units that hold the expert
  std::vector<std::vector<Index>> held_;  // of each GPU, one entry a replica
  std::vector<std::vector<Index>> hosts_; // of each expert, one entry a GPU
};

}  // namespace eplb::rules
