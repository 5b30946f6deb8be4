// The GPUs of one layer, as the annealing sees them: what may stand where. Never changed.
//
// Only what can hold an expert takes part: neither GPUs without a slot nor slots that stay empty.
#pragma once

#include <cstdint>
#include <vector>

#include "common/views.hpp"

namespace eplb::annealing {

// What the rules say of an expert on a GPU.
enum Tie : std::int8_t { kFree = 0, kForbidden = 1, kPinned = 2 };

// The GPUs as they are handed over.
struct Gpus {
  std::span<const double> rate;   // what a GPU's load is multiplied by: 1 over its speed
  std::span<const Index> first;   // the first slot of each GPU, and the end of the last
};

// What is asked of the experts on them.
struct Rules {
  Table<const std::int8_t> ties;  // a Tie for each GPU and expert; no rows where all are free
  std::span<const Index> unit;    // of each slot, where every expert needs two units; or empty
  Index node_size;                // slots of a node, all where flat: no replica leaves its node
  bool apart;                     // whether no expert may stand twice on a GPU
};

class Machine {
 public:
  Machine(const Gpus& gpus, const Rules& rules)
      : num_experts_(rules.ties.columns()),
        node_size_(rules.node_size),
        apart_(rules.apart),
        rate_(gpus.rate.begin(), gpus.rate.end()),
        first_(gpus.first.begin(), gpus.first.end()),
        unit_(rules.unit.begin(), rules.unit.end()),
        ties_(rules.ties.all().begin(), rules.ties.all().end()) {
    for (Index gpu = 0; gpu < num_gpus(); ++gpu) gpu_.resize(first_[gpu + 1], gpu);
    for (Index slot = 0; slot < num_slots(); ++slot) {
      node_begin_.push_back(slot - slot % node_size_);
    }
  }

  Index num_gpus() const { return std::ssize(rate_); }
  Index num_slots() const { return first_.back(); }
  Index num_experts() const { return num_experts_; }
  Index node_size() const { return node_size_; }
  bool apart() const { return apart_; }
  bool has_ties() const { return !ties_.empty(); }
  bool has_spread() const { return !unit_.empty(); }

  double rate(Index gpu) const { return rate_[gpu]; }
  Index begin(Index gpu) const { return first_[gpu]; }
  Index end(Index gpu) const { return first_[gpu + 1]; }
  Index gpu(Index slot) const { return gpu_[slot]; }
  Index node_begin(Index slot) const { return node_begin_[slot]; }  // the first slot of its node
  Index unit(Index slot) const { return unit_[slot]; }
  Tie tie(Index gpu, Index expert) const {
    return static_cast<Tie>(ties_[gpu * num_experts_ + expert]);
  }

 private:
  Index num_experts_, node_size_;
  bool apart_;
  std::vector<double> rate_;
  std::vector<Index> first_, unit_, gpu_, node_begin_;
  std::vector<std::int8_t> ties_;
};

}  // namespace eplb::annealing
