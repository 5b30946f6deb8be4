// The experts of a layer's slots, with what every annealing wants to know of them at once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "annealing/machine.hpp"

namespace eplb::annealing {

class Placement {
 public:
  // `slots` names an expert for each slot, and every expert at least once. The machine outlives it.
  Placement(const Machine& machine, Index num_experts, std::span<const Index> slots)
      : machine_(&machine),
        most_copies_(std::ssize(slots) - num_experts + 2),
        count_(num_experts),
        copies_(num_experts * most_copies_),
        on_gpu_(machine.num_gpus() * num_experts) {
    reset(slots);
  }

  void reset(std::span<const Index> slots) {
    slot_.assign(slots.begin(), slots.end());
    std::ranges::fill(count_, 0);
    std::ranges::fill(on_gpu_, std::uint16_t{0});
    for (Index slot = 0; slot < num_slots(); ++slot) add_copy(slot_[slot], slot);
  }

  const Machine& machine() const { return *machine_; }
  Index num_experts() const { return std::ssize(count_); }
  Index num_slots() const { return std::ssize(slot_); }
  std::span<const Index> slots() const { return slot_; }
  Index expert(Index slot) const { return slot_[slot]; }
  Index count(Index expert) const { return count_[expert]; }

  // The slots of an expert, in an order that the moves so far have made.
  std::span<const Index> copies(Index expert) const {
    return {copies_.data() + expert * most_copies_, static_cast<std::size_t>(count_[expert])};
  }

  // How many replicas of the expert stand on the GPU.
  Index on_gpu(Index gpu, Index expert) const { return on_gpu_[gpu * num_experts() + expert]; }

  // Slots p and q, of two GPUs, exchange their experts; a second time undoes it.
  void swap(Index p, Index q) {
    const Index a = slot_[p], b = slot_[q];
    move_copy(a, p, q);
    move_copy(b, q, p);
    slot_[p] = b;
    slot_[q] = a;
  }

  // Slot q holds a replica of another expert instead of its own, which has at least two.
  void transfer(Index q, Index fresh) {
    const Index old = slot_[q];
    const Index last = --count_[old];
    replace_copy(old, q, copies_[old * most_copies_ + last]);
    --on(machine_->gpu(q), old);
    slot_[q] = fresh;
    add_copy(fresh, q);
  }

  // Undoes the last transfer; the order of copies is not what it was.
  void transfer_back(Index q, Index old) {
    const Index fresh = slot_[q];
    --count_[fresh];
    --on(machine_->gpu(q), fresh);
    slot_[q] = old;
    add_copy(old, q);
  }

 private:
  std::uint16_t& on(Index gpu, Index expert) { return on_gpu_[gpu * num_experts() + expert]; }

  void add_copy(Index expert, Index slot) {
    copies_[expert * most_copies_ + count_[expert]++] = slot;
    ++on(machine_->gpu(slot), expert);
  }

  void move_copy(Index expert, Index from, Index to) {
    replace_copy(expert, from, to);
    --on(machine_->gpu(from), expert);
    ++on(machine_->gpu(to), expert);
  }

  void replace_copy(Index expert, Index from, Index to) {
    Index* copy = copies_.data() + expert * most_copies_;
    while (*copy != from) ++copy;
    *copy = to;
  }

  const Machine* machine_;
  Index most_copies_;
  std::vector<Index> slot_, count_, copies_;
  std::vector<std::uint16_t> on_gpu_;
};

}  // namespace eplb::annealing
