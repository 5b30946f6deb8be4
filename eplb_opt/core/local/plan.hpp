// A plan of one node, or of a flat layer, with what the search asks of it at every step.
#pragma once

#include <vector>

#include "common/views.hpp"

namespace eplb::local {

using Experts = std::span<const std::int64_t>;

constexpr Index kMaxSlotsPerGpu = Index{1} << 15;

// What is searched: experts with their loads, and GPUs with their slots.
struct Node {
  std::vector<std::int64_t> weight;  // fixed-point load of each expert
  Index num_gpus;
  Index slots_per_gpu;
  bool apart;  // whether no expert may stand twice on a GPU

  Index num_experts() const { return std::ssize(weight); }
  Index num_slots() const { return num_gpus * slots_per_gpu; }
};

// Loads in fixed point: of a layer they add up to about this.
constexpr std::int64_t kTotal = std::int64_t{1} << 44;

// Loads times `kTotal` over their total, rounded down. At least one is above zero.
std::vector<std::int64_t> fixed_point(std::span<const std::int64_t> loads);

// The expert in each slot, and what follows from it: replica counts, replica sizes, GPU loads.
//
// All replicas of an expert are equally large: its load divided by their number, rounded down.
class Plan {
 public:
  // The node outlives the plan. Every expert has at least one slot.
  Plan(const Node& node, Experts slots);

  void assign(Experts slots);

  const Node& node() const { return *node_; }
  Experts slots() const { return expert_; }
  std::int64_t expert(Index slot) const { return expert_[slot]; }
  std::int64_t size(Index slot) const { return size_[slot]; }
  std::int64_t load(Index gpu) const { return load_[gpu]; }
  std::int64_t count(Index expert) const { return count_[expert]; }
  std::span<const std::int64_t> sizes() const { return size_; }
  std::span<const std::int64_t> loads() const { return load_; }
  std::span<const std::int64_t> counts() const { return count_; }

  // The sizes of the replicas on a GPU.
  std::span<const std::int64_t> sizes_on(Index gpu) const {
    return sizes().subspan(gpu * node_->slots_per_gpu, node_->slots_per_gpu);
  }
  Index gpu_of(Index slot) const { return slot / node_->slots_per_gpu; }
  Index first_slot(Index gpu) const { return gpu * node_->slots_per_gpu; }
  bool holds(Index gpu, std::int64_t expert) const;

  // The GPU with the largest load, the first of equals.
  Index heaviest() const;

  // The GPUs whose replicas may have changed since that was last forgotten.
  std::span<const Index> changed_gpus() const { return changed_; }
  void forget_changes();

  // The replicas in two slots change places.
  void swap(Index slot, Index other);

  // The slot's replica becomes one of another expert; both experts' replicas change their size.
  void give(Index slot, std::int64_t expert);

  // The replicas in the slots `from` move to the slots `to`, which are the same ones in another
  // order.
  void rearrange(std::span<const Index> from, std::span<const Index> to);

 private:
  void put(Index slot, std::int64_t expert, std::int64_t size);

  const Node* node_;
  void mark(Index gpu);

  std::vector<std::int64_t> expert_, size_, load_, count_;
  std::vector<Index> changed_;
  std::vector<char> is_changed_;  // of each GPU, whether it is among them
};

}  // namespace eplb::local
