// One layer under a rule by which GPUs send to replicas: integer loads, followed move by move.
#pragma once

#include <array>
#include <numeric>
#include <vector>

#include "common/views.hpp"
#include "shares/rules.hpp"

namespace eplb::serving {

// Equal GPUs; no replica leaves its stretch of `node_slots` slots.
struct ShareMachine {
  Index num_gpus, num_slots, node_slots;

  Index slots_per_gpu() const { return num_slots / num_gpus; }
};

// Loads are in units of which a sender brings an expert's whole weight: weights times senders.
template <typename Rule>
class ShareLayer {
 public:
  ShareLayer(const Rule& rule, const ShareMachine& machine, Index num_experts)
      : rule_(&rule),
        machine_(machine),
        copies_(num_experts),
        value_(machine.num_slots),
        load_(machine.num_gpus),
        after_(machine.num_gpus),
        is_touched_(machine.num_gpus),
        gpu_(machine.num_slots) {
    for (Index slot = 0; slot < machine.num_slots; ++slot) {
      gpu_[slot] = slot / machine.slots_per_gpu();
    }
    for (Side& side : sides_) side.value.resize(machine.num_slots + 1);
  }

  void reset(std::span<const std::int64_t> weight, std::span<const std::int64_t> slots) {
    weight_ = weight;
    slot_.assign(slots.begin(), slots.end());
    for (auto& copies : copies_) copies.clear();
    for (Index slot = 0; slot < machine_.num_slots; ++slot) copies_[slot_[slot]].push_back(slot);
    std::ranges::fill(load_, 0);
    for (Index expert = 0; expert < std::ssize(copies_); ++expert) {
      look(sides_[0], expert, -1, -1);
      for (std::size_t i = 0; i < sides_[0].slots.size(); ++i) {
        const Index slot = sides_[0].slots[i];
        value_[slot] = sides_[0].value[i];
        load_[gpu_[slot]] += value_[slot];
      }
    }
  }

  const ShareMachine& machine() const { return machine_; }
  const Rule& rule() const { return *rule_; }
  std::span<const Index> slots() const { return slot_; }
  Index expert(Index slot) const { return slot_[slot]; }
  Index gpu(Index slot) const { return gpu_[slot]; }
  Index count(Index expert) const { return std::ssize(copies_[expert]); }
  std::span<const Index> copies(Index expert) const { return copies_[expert]; }
  std::int64_t weight(Index expert) const { return weight_[expert]; }
  std::int64_t value(Index slot) const { return value_[slot]; }
  std::span<const std::int64_t> values() const { return value_; }
  std::int64_t load(Index gpu) const { return load_[gpu]; }
  std::int64_t largest() const { return *std::ranges::max_element(load_); }
  Index heaviest() const { return std::ranges::max_element(load_) - load_.begin(); }
  bool is_on(Index expert, Index gpu) const {
    return std::ranges::any_of(copies_[expert], [&](Index slot) { return gpu_[slot] == gpu; });
  }
  bool may_exchange(Index p, Index q) const {
    return p / machine_.node_slots == q / machine_.node_slots;
  }

  // The largest load among the GPUs that a swap of slots p and q touches, if it were made.
  std::int64_t look_swap(Index p, Index q) {
    const Index a = slot_[p], b = slot_[q];
    look(sides_[0], a, p, q);
    look(sides_[1], b, q, p);
    return measure();
  }

  // The same if slot q held a further replica of `fresh` instead of its own expert's.
  std::int64_t look_transfer(Index q, Index fresh) {
    look(sides_[0], fresh, -1, q);
    look(sides_[1], slot_[q], q, -1);
    return measure();
  }

  // Makes what was looked at last.
  void make() {
    for (const Index gpu : touched_) load_[gpu] = after_[gpu];
    for (const Side& side : sides_) {
      for (std::size_t i = 0; i < side.slots.size(); ++i) {
        slot_[side.slots[i]] = side.expert;
        value_[side.slots[i]] = side.value[i];
      }
      copies_[side.expert] = side.slots;
    }
  }

 private:
  // An expert's replicas after a move: their slots, ascending, and their loads.
  struct Side {
    Index expert = 0;
    std::vector<Index> slots;
    std::vector<std::int64_t> value;
  };

  void look(Side& side, Index expert, Index left, Index entered) {
    side.expert = expert;
    side.slots = copies_[expert];
    if (left >= 0) side.slots.erase(std::ranges::find(side.slots, left));
    if (entered >= 0) {
      side.slots.insert(std::ranges::lower_bound(side.slots, entered), entered);
    }
    rule_->columns(side.slots, side.value.data());
    for (std::size_t i = 0; i < side.slots.size(); ++i) side.value[i] *= weight_[expert];
  }

  std::int64_t measure() {
    touched_.clear();
    std::int64_t largest = 0;
    for (const Side& side : sides_) {
      for (const Index slot : copies_[side.expert]) touch(gpu_[slot]) -= value_[slot];
      for (std::size_t i = 0; i < side.slots.size(); ++i) {
        touch(gpu_[side.slots[i]]) += side.value[i];
      }
    }
    for (const Index gpu : touched_) {
      is_touched_[gpu] = 0;
      largest = std::max(largest, after_[gpu]);
    }
    return largest;
  }

  std::int64_t& touch(Index gpu) {
    if (!is_touched_[gpu]) {
      is_touched_[gpu] = 1;
      after_[gpu] = load_[gpu];
      touched_.push_back(gpu);
    }
    return after_[gpu];
  }

  const Rule* rule_;
  ShareMachine machine_;
  std::span<const std::int64_t> weight_;
  std::vector<Index> slot_;
  std::vector<std::vector<Index>> copies_;  // of each expert, ascending
  std::vector<std::int64_t> value_;         // of each slot's replica
  std::vector<std::int64_t> load_, after_;
  std::vector<char> is_touched_;
  std::vector<Index> touched_, gpu_;
  std::array<Side, 2> sides_;
};

}  // namespace eplb::serving
