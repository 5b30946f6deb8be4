// Replicas of one node's experts on its GPUs, which may differ in speed and slots.
#pragma once

#include <vector>

#include "common/views.hpp"
#include "rules/fill.hpp"

namespace eplb::rules {

// What a node is to hold: each expert so many times, and the load of one of its replicas.
struct Household {
  std::vector<Index> expert, times;
  std::vector<double> share;

  void clear();
  void add(Index expert, Index times, double share);
  Index num_replicas() const;
};

// Packs nodes one after the other: the largest replica that is left goes where it loads least, and
// exchanges of the heaviest GPU's replicas mend what that leaves.
class NodePacker {
 public:
  NodePacker(const GpuRules& rules, Index num_experts);

  // Writes the slots of these GPUs, which the replicas fill exactly. False where replicas stand
  // apart and no plan has these counts.
  bool pack(const std::vector<Index>& gpus, const Household& held, std::span<std::int64_t> placed);

 private:
  struct Replica {
    Index item;  // of the household
    double share;
  };
  struct Gpu {
    std::vector<Replica> held;
    Index slots = 0;
    double filled = 0, slowness = 1;
    bool has_room() const { return std::ssize(held) < slots; }
  };

  bool place(const std::vector<Index>& gpus, const Household& held);
  bool deal(const Household& held);
  void mend_and_write(const std::vector<Index>& gpus, const Household& held,
                      std::span<std::int64_t> placed);
  bool has(Index gpu, Index item) const;
  bool may_take(Index gpu, Index item) const { return !rules_.keeps_apart || !has(gpu, item); }
  Index lightest(const Replica& replica) const;
  Index make_way(Index item);
  void put(Index gpu, const Replica& replica);
  bool exchange();
  void exchange_with(Index heavy, Index other, double& least, Index (&best)[3]) const;

  const GpuRules& rules_;
  std::vector<Gpu> gpus_;
  std::vector<Index> order_;
};

}  // namespace eplb::rules
