// What is planned: a node of a layer, or the whole of a flat one.
#pragma once

#include <cstdint>
#include <vector>

#include "common/octets.hpp"
#include "common/views.hpp"

namespace eplb::near {

// Bits of a layer's total load in 32-bit integers: sums of five such numbers still fit.
constexpr int kTotalBits = 29;
constexpr std::int32_t kFar = 1 << kTotalBits;  // no load or size is above it

constexpr Index padded(Index num) { return (num + kOctet - 1) / kOctet * kOctet; }

struct Shape {
  Index num_gpus, slots_per_gpu, num_experts;
  Index far_price;             // of a move to a node where the expert did not stand; else it is 1
  bool is_apart;               // whether no GPU may get an expert twice
  std::vector<Index> node_of;  // of every GPU, for prices alone

  Index num_slots() const { return num_gpus * slots_per_gpu; }
  // Slot k * stride() + g is the k-th of GPU g; a row of GPUs is padded to whole vectors.
  Index stride() const { return padded(num_gpus); }
  Index table_size() const { return slots_per_gpu * stride(); }
};

}  // namespace eplb::near
